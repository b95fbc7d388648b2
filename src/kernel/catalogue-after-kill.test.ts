import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { damageFile, OTHER_RELEASE, UNREADABLE } from "../../test/fixtures/damage.js";
import { writeKernel } from "../../test/fixtures/kernel-files.js";
import { createKernelCatalogue } from "./catalogue.js";
import type { KernelCatalogue } from "./types.js";

let scratch: string;
let kernels: KernelCatalogue;

async function reopen(): Promise<void> {
  kernels = createKernelCatalogue({ dataRoot: join(scratch, "data") });
  await kernels.open();
}

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "kiln-kernels-"));
  await reopen();
});
afterEach(() => rm(scratch, { recursive: true }));

const kernelFile = (name: string) => writeKernel(scratch, name);
const kernelsDirectory = () => join(scratch, "data/kernels");

describe("after a kill", () => {
  it("half imports and half removals are cleared away", async () => {
    const kernel = await kernels.importFile(await kernelFile("a"), {});
    const half = join(kernelsDirectory(), "f".repeat(64));
    await mkdir(half);
    await writeFile(join(half, "vmlinux"), "half");
    for (const name of ["import.tmp-0123456789ab", `.creating-${"e".repeat(64)}`, ".removing-x"])
      await mkdir(join(kernelsDirectory(), name));
    await mkdir(join(kernelsDirectory(), kernel.id, "modules-0123456789abcdef"));
    await writeFile(join(kernelsDirectory(), kernel.id, "initramfs-1.cpio.tmp-0123456789ab"), "half");
    await reopen();
    assert.deepEqual(await readdir(kernelsDirectory()), [kernel.id]);
    assert.deepEqual((await readdir(join(kernelsDirectory(), kernel.id))).sort(), [
      "kernel.json",
      "kernel.json.bak",
      "vmlinux",
    ]);
    assert.deepEqual(kernels.list(), [kernel]);
  });

  it("a record is read from its copy, and so is the choice of a default", async () => {
    const first = await kernels.importFile(await kernelFile("a"), {});
    const second = await kernels.importFile(await kernelFile("b"), { name: "second" });
    await kernels.setDefault(second.id);
    const files = [join(first.id, "kernel.json"), "default.json"].map((name) =>
      join(kernelsDirectory(), name),
    );
    for (const damage of [...UNREADABLE, ...OTHER_RELEASE]) {
      for (const file of files) await damageFile(file, damage);
      await reopen();
      assert.deepEqual(
        kernels
          .list()
          .map(({ id }) => id)
          .sort(),
        [first.id, second.id].sort(),
        damage.what,
      );
      assert.equal(kernels.default()?.kernel.id, second.id, damage.what);
    }
  });

  it("a kernel whose record and copy are damaged is left out but not removed", async () => {
    const kernel = await kernels.importFile(await kernelFile("a"), {});
    const record = join(kernelsDirectory(), kernel.id, "kernel.json");
    await damageFile(record, { what: "torn", change: () => "{" }, true);
    await reopen();
    assert.deepEqual(kernels.list(), []);
    assert.equal(await readFile(record, "utf8"), "{");
    assert.equal((await kernels.importFile(join(scratch, "a"), {})).id, kernel.id);
    await reopen();
    assert.deepEqual(
      kernels.list().map(({ id }) => id),
      [kernel.id],
    );
  });
});
