import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { writeAgent, writeKernel, writeModules } from "../../test/fixtures/kernel-files.js";
import { hasReason } from "../base/errors.js";
import { createKernelCatalogue } from "./catalogue.js";
import type { KernelCatalogue } from "./types.js";

let scratch: string;
let kernels: KernelCatalogue;

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "kiln-initramfs-"));
  kernels = createKernelCatalogue({ dataRoot: join(scratch, "data") });
  await kernels.open();
});
afterEach(() => rm(scratch, { recursive: true }));

const kernelFile = (name: string) => writeKernel(scratch, name);
const modulesFor = (release: string) => writeModules(scratch, release);
const agentFile = (text: string) => writeAgent(scratch, text);
const kernelsDirectory = () => join(scratch, "data/kernels");
const withReason = (reason: string) => (error: unknown) => hasReason(error, reason);

describe("the initramfs", () => {
  it("is built once for an agent, and again for another", async () => {
    const kernel = await kernels.importFile(await kernelFile("a"), {
      modulesDirectory: await modulesFor("6.1.0-test"),
    });
    const agent = await agentFile("one");
    const first = await kernels.initramfs(kernel, agent);
    const before = await stat(first);
    assert.equal(await kernels.initramfs(kernel, agent), first);
    assert.equal((await stat(first)).ino, before.ino);
    assert.equal(before.mode & 0o777, 0o644);
    await agentFile("another");
    assert.notEqual(await kernels.initramfs(kernel, agent), first);
  });

  it("holds the agent as /init, and the modules with their list in load order", async () => {
    const kernel = await kernels.importFile(await kernelFile("a"), {
      modulesDirectory: await modulesFor("6.1.0-test"),
    });
    const agent = await agentFile("agent");
    const archive = (await readFile(await kernels.initramfs(kernel, agent, { scsi: true }))).toString(
      "latin1",
    );
    assert.ok(archive.includes("virtio.ko\nvirtio_blk.ko\n"));
    assert.match(archive, /modules\.scsi\0+virtio_scsi\.ko\n/);
    for (const path of ["init", "modules/virtio.ko", "modules/virtio_scsi.ko", "dev/console"]) {
      assert.ok(archive.includes(`${path}\0`), path);
    }
    assert.ok(archive.includes((await readFile(agent)).toString("latin1")));
  });

  it("carries modules for disks on SCSI only for a machine that has such disks", async () => {
    const modulesDirectory = await modulesFor("6.1.0-test");
    const kernel = await kernels.importFile(await kernelFile("a"), { modulesDirectory });
    const agent = await agentFile("agent");
    const [plain, scsi] = [
      await kernels.initramfs(kernel, agent),
      await kernels.initramfs(kernel, agent, { scsi: true }),
    ];
    const [small, large] = [await readFile(plain, "latin1"), await readFile(scsi, "latin1")];
    assert.ok(small.includes("virtio.ko\nvirtio_blk.ko\n") && large.includes("virtio.ko\nvirtio_blk.ko\n"));
    assert.deepEqual([small.includes("scsi"), large.includes("virtio_scsi.ko\n")], [false, true]);
    assert.equal(await kernels.initramfs(kernel, agent), plain, "each goes on being used");
    assert.equal(await kernels.initramfs(kernel, agent, { scsi: true }), scsi);
  });

  it("of a kernel without modules is the same for all machines", async () => {
    const kernel = await kernels.importFile(await kernelFile("a"), {});
    const agent = await agentFile("agent");
    const plain = await kernels.initramfs(kernel, agent);
    assert.equal(await kernels.initramfs(kernel, agent, { scsi: true }), plain);
  });

  it("of many agents keeps only the last few", async () => {
    const kernel = await kernels.importFile(await kernelFile("a"), {});
    for (let i = 0; i < 10; i++) await kernels.initramfs(kernel, await agentFile(`agent ${i}`));
    const names = await readdir(join(kernelsDirectory(), kernel.id));
    assert.equal(names.filter((name) => name.startsWith("initramfs-")).length, 8);
  });

  it("is refused without an agent, and with one that is no program", async () => {
    const kernel = await kernels.importFile(await kernelFile("a"), {});
    await assert.rejects(kernels.initramfs(kernel, join(scratch, "none")), withReason("agent-missing"));
    await writeFile(join(scratch, "text"), "#!/bin/sh");
    await assert.rejects(kernels.initramfs(kernel, join(scratch, "text")), withReason("agent-invalid"));
  });

  it("of a kernel that was removed is refused", async () => {
    const kernel = await kernels.importFile(await kernelFile("a"), {});
    await kernels.remove(kernel.id);
    await assert.rejects(kernels.initramfs(kernel, await agentFile("x")), withReason("kernel-not-found"));
  });
});
