// The kernel room against Debian's real packages: what set-up has fetched, and other tools as witnesses.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { createKernelCatalogue, type KernelCatalogue, type StoredKernel } from "../../src/kernel/index.js";
import { agentPath, defaultKernel, kernelDeb } from "../fixtures/assets.js";

let scratch: string;
let kernels: KernelCatalogue;
let kernel: StoredKernel;

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "kiln-kernel-"));
  kernels = createKernelCatalogue({ dataRoot: join(scratch, "data") });
  await kernels.open();
  kernel = await kernels.importDeb(kernelDeb(), {});
});
after(() => rm(scratch, { recursive: true }));

/** stdout of a program that must succeed. */
function output(program: string, args: string[], options: { input?: Buffer; cwd?: string } = {}): Buffer {
  const result = spawnSync(program, args, { ...options, maxBuffer: 512 * 1024 * 1024 });
  assert.equal(result.status, 0, `${program} ${args.join(" ")}: ${result.stderr}`);
  return result.stdout;
}

describe("Debian's cloud kernel", () => {
  it("gives the vmlinux that the lz4 program unpacks from it", async () => {
    const tree = join(scratch, "tree");
    output("dpkg-deb", ["--extract", kernelDeb(), tree]);
    const image = await readFile(join(tree, "boot", `vmlinuz-${kernel.release}`));
    const start = image.indexOf(Buffer.from([0x02, 0x21, 0x4c, 0x18]));
    const length = image.readUInt32LE(0x24c);
    const unpacked = output("lz4", ["-dc"], { input: image.subarray(start, start + length - 4) });
    assert.equal(createHash("sha256").update(unpacked).digest("hex"), kernel.id);
    assert.ok((await readFile(kernel.vmlinux)).equals(unpacked));
  });

  it("has a PVH entry and its release in its name", () => {
    assert.equal(kernel.pvh, true);
    assert.match(kernel.release, /^\d+\.\d+\..*-cloud-(amd64|arm64)$/);
    assert.equal(kernel.name, kernel.release);
  });

  it("has modules that modprobe finds, with what they depend on", () => {
    assert.ok(kernel.modulesDirectory);
    const moduleFile = join(kernel.modulesDirectory, "kernel/fs/overlayfs/overlay.ko");
    assert.equal(output("/sbin/modinfo", ["-F", "name", moduleFile]).toString().trim(), "overlay");
  });

  it("has an index of its modules", async () => {
    const names = await readdir(kernel.modulesDirectory ?? "");
    for (const name of ["modules.dep", "modules.dep.bin", "modules.alias.bin", "modules.builtin.bin"]) {
      assert.ok(names.includes(name), name);
    }
  });

  it("is the same when it is imported again", async () => {
    const again = await kernels.importDeb(kernelDeb(), {});
    assert.deepEqual(again, kernel);
    assert.equal((await defaultKernel("debian")).id, kernel.id);
  });

  it("is the same when it comes from the kernel image alone, without modules", async () => {
    const other = createKernelCatalogue({ dataRoot: join(scratch, "other") });
    await other.open();
    const bare = await other.importFile(join(scratch, "tree/boot", `vmlinuz-${kernel.release}`), {});
    assert.equal(bare.id, kernel.id);
    assert.equal(bare.modulesDirectory, undefined);
  });
});

describe("its initramfs", () => {
  it("is an archive that cpio unpacks, with the agent and the modules unchanged", async () => {
    const path = await kernels.initramfs(kernel, agentPath(), { scsi: true });
    const target = join(scratch, "unpacked");
    await mkdir(target);
    const names = output("busybox", ["cpio", "-t", "-F", path]).toString().trim().split("\n");
    assert.ok(names.includes("dev/console"));
    // An ordinary user may not make the device node.
    const files = names.filter((name) => name !== "dev/console");
    output("busybox", ["cpio", "-idm", "-F", path, ...files], { cwd: target });
    assert.ok((await readFile(join(target, "init"))).equals(await readFile(agentPath())));
    const listedIn = async (name: string) => (await readFile(join(target, name), "utf8")).trim().split("\n");
    const listed = [...(await listedIn("modules.list")), ...(await listedIn("modules.scsi"))];
    assert.deepEqual((await readdir(join(target, "modules"))).sort(), [...listed].sort());
    const blk = join(kernel.modulesDirectory ?? "", "kernel/drivers/block/virtio_blk.ko");
    assert.ok((await readFile(join(target, "modules/virtio_blk.ko"))).equals(await readFile(blk)));
  });

  it("lists modules in an order that modprobe agrees with", async () => {
    const archive = (await readFile(await kernels.initramfs(kernel, agentPath()))).toString("latin1");
    const list = /(?:[a-z0-9_]+\.ko\n){5,}/.exec(archive)?.[0].trim().split("\n") ?? [];
    const position = new Map(list.map((name, index) => [name.replace(".ko", ""), index]));
    const dep = await readFile(join(kernel.modulesDirectory ?? "", "modules.dep"), "utf8");
    const moduleOf = (file: string) => file.replace(/^.*\//, "").replace(/\.ko$/, "").replaceAll("-", "_");
    for (const line of dep.trim().split("\n")) {
      const [file = "", needed = ""] = line.split(":");
      const at = position.get(moduleOf(file));
      if (at === undefined) continue;
      for (const other of needed.split(" ").filter((word) => word !== "")) {
        const before = position.get(moduleOf(other));
        assert.ok(before !== undefined && before < at, `${other} comes before ${file}`);
      }
    }
    assert.ok(position.has("virtio_blk") && position.has("dm_snapshot") && position.has("virtio_console"));
  });
});
