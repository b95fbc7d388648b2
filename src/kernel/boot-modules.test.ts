import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { makeModule } from "../../test/fixtures/made-up-kernels.js";
import { hasReason } from "../base/errors.js";
import { findModuleFiles, orderModules, parseBuiltin, readBootModules } from "./boot-modules.js";

const MODULES: Record<string, Buffer> = {
  virtio_blk: makeModule("virtio_blk", { depends: ["virtio", "virtio_ring"] }),
  virtio: makeModule("virtio", { depends: ["virtio_ring"] }),
  virtio_ring: makeModule("virtio_ring"),
  virtio_net: makeModule("virtio_net", { depends: ["virtio_ring", "virtio", "net_failover"] }),
  net_failover: makeModule("net_failover", { depends: ["failover"] }),
  failover: makeModule("failover"),
  ext4: makeModule("ext4", { depends: ["jbd2"], softdep: "pre: crc32c absent" }),
  jbd2: makeModule("jbd2"),
  crc32c: makeModule("crc32c"),
  one: makeModule("one", { depends: ["two"] }),
  two: makeModule("two", { depends: ["one"] }),
  virtio_scsi: makeModule("virtio_scsi", { depends: ["scsi_mod", "virtio"] }),
  sd_mod: makeModule("sd_mod", { depends: ["scsi_mod"] }),
  scsi_mod: makeModule("scsi_mod"),
  virtio_pci: makeModule("virtio_pci", { depends: ["virtio", "virtio_pci_modern_dev"] }),
  virtio_pci_modern_dev: makeModule("virtio_pci_modern_dev"),
  orphan: makeModule("orphan", { depends: ["nowhere"] }),
  text: Buffer.from("no module"),
};

function moduleFile(name: string): Buffer {
  const file = MODULES[name];
  assert.ok(file);
  return file;
}

async function order(wanted: string[], builtin: string[] = []): Promise<string[]> {
  const modules = await orderModules(wanted, async (name) => MODULES[name], new Set(builtin));
  return modules.map(({ name }) => name);
}

describe("the order of modules", () => {
  it("puts each after all that it needs, and each once", async () => {
    assert.deepEqual(await order(["virtio_blk", "virtio_net", "virtio"]), [
      "virtio_ring",
      "virtio",
      "virtio_blk",
      "failover",
      "net_failover",
      "virtio_net",
    ]);
  });

  it("leaves out what is built in or not there", async () => {
    assert.deepEqual(await order(["absent", "virtio_blk"], ["virtio", "virtio_ring"]), ["virtio_blk"]);
  });

  it("takes soft dependencies along where they are there", async () => {
    assert.deepEqual(await order(["ext4"]), ["crc32c", "jbd2", "ext4"]);
  });

  it("takes dashes for underscores", async () => {
    assert.deepEqual(await order(["virtio-blk"]), ["virtio_ring", "virtio", "virtio_blk"]);
  });

  it("refuses a cycle", async () => {
    await assert.rejects(order(["one"]), (error) => hasReason(error, "broken-module"));
  });

  it("names the module that is missing and the one that needs it", async () => {
    await assert.rejects(
      order(["orphan"]),
      /kernel module orphan: the module nowhere that it needs is missing/,
    );
  });

  it("refuses a file that is no module", async () => {
    await assert.rejects(order(["text"]), /no 64-bit kernel module/);
  });
});

it("modules.builtin gives names", () => {
  const text = "kernel/fs/ext4/ext4.ko\nkernel/lib/crc32c-x.ko\n\nnonsense\n";
  assert.deepEqual([...parseBuiltin(text)], ["ext4", "crc32c_x"]);
});

describe("a modules directory", () => {
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "kiln-modules-"));
    await mkdir(join(directory, "kernel/drivers/virtio"), { recursive: true });
    const put = (path: string, data: Uint8Array) => writeFile(join(directory, "kernel/drivers", path), data);
    await put("virtio/virtio_blk.ko.gz", gzipSync(moduleFile("virtio_blk")));
    await put("virtio/virtio.ko", moduleFile("virtio"));
    await put("virtio/virtio_ring.ko", moduleFile("virtio_ring"));
    await put("README", Buffer.from("x"));
    await symlink("/", join(directory, "build"));
    await symlink("/etc/passwd", join(directory, "kernel/evil.ko"));
  });
  after(() => rm(directory, { recursive: true }));

  it("is searched without following links", async () => {
    const found = await findModuleFiles(directory);
    assert.deepEqual([...found.keys()].sort(), ["virtio", "virtio_blk", "virtio_ring"]);
  });

  it("gives the boot modules unpacked and in order", async () => {
    const { always, scsi } = await readBootModules(directory);
    assert.deepEqual(
      always.map(({ name }) => name),
      ["virtio_ring", "virtio", "virtio_blk"],
    );
    assert.deepEqual(always[2]?.data, MODULES.virtio_blk);
    assert.deepEqual(scsi, []);
  });

  it("gives those for cards that come later apart", async () => {
    const names = ["virtio_pci", "virtio_pci_modern_dev"];
    const path = (name: string) => join(directory, "kernel/drivers", `${name}.ko`);
    for (const name of names) await writeFile(path(name), moduleFile(name));
    const { always, scsi, pci } = await readBootModules(directory);
    assert.deepEqual([always.length, scsi], [3, []]);
    assert.deepEqual(
      pci.map(({ name }) => name),
      ["virtio_pci_modern_dev", "virtio_pci"],
    );
    for (const name of names) await rm(path(name));
  });

  it("gives those for disks on SCSI apart, without what comes before them in any case", async () => {
    const names = ["virtio_scsi", "sd_mod", "scsi_mod"];
    const path = (name: string) => join(directory, "kernel/drivers", `${name}.ko`);
    for (const name of names) await writeFile(path(name), moduleFile(name));
    const { always, scsi } = await readBootModules(directory);
    assert.equal(always.length, 3);
    assert.deepEqual(
      scsi.map(({ name }) => name),
      ["scsi_mod", "virtio_scsi", "sd_mod"],
    );
    await rm(path("scsi_mod"));
    assert.deepEqual((await readBootModules(directory)).scsi, [], "a kernel is not refused for them");
    for (const name of names) await rm(path(name), { force: true });
  });

  it("is refused where a packed module is damaged", async () => {
    const path = join(directory, "kernel/drivers/virtio/virtio_console.ko.gz");
    await writeFile(path, gzipSync(moduleFile("virtio")).subarray(0, 60));
    await assert.rejects(readBootModules(directory), /virtio_console: its gzip data are damaged/);
    await rm(path);
  });
});
