import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { damageFile, OTHER_RELEASE, UNREADABLE } from "../../test/fixtures/damage.js";
import { writeKernel, writeModules } from "../../test/fixtures/kernel-files.js";
import { killedAt } from "../../test/fixtures/killed-at.js";
import type { Failpoint } from "../base/failpoint.js";
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

describe("a kernel's import that is killed", () => {
  const dataRoot = () => join(scratch, "data");
  const imported = async (modulesDirectory?: string) => {
    const path = await kernelFile("a");
    return {
      ...({ dataRoot: dataRoot(), kernel: "import", path } as const),
      ...(modulesDirectory === undefined ? {} : { modulesDirectory }),
    };
  };
  /** The catalogue is as the disk, and has no more than that. */
  const assertWhole = async (what: string) => {
    await reopen();
    const ids = kernels.list().map(({ id }) => id);
    assert.deepEqual(await readdir(kernelsDirectory()), ids, what);
    for (const { id, modulesDirectory } of kernels.list()) {
      const names = ["kernel.json", "kernel.json.bak", "vmlinux"];
      if (modulesDirectory !== undefined) names.unshift(modulesDirectory.split("/").at(-1) ?? "");
      assert.deepEqual((await readdir(join(kernelsDirectory(), id))).sort(), names.sort(), what);
    }
    return ids;
  };
  /** What a second import makes of it. */
  const assertImported = async (what: string) => {
    const { id } = await kernels.importFile(join(scratch, "a"), {});
    assert.deepEqual(await assertWhole(`${what}: imported again`), [id]);
  };

  for (const [point, isThere] of [
    ["kernel.prepared", false],
    ["kernel.create.begun", false],
    ["kernel.create.filled", false],
    ["kernel.create.renamed", true],
  ] as const) {
    it(`at ${point} leaves ${isThere ? "all" : "nothing"} of it`, async () => {
      assert.ok(await killedAt(point, await imported()), "the point is passed");
      assert.equal((await assertWhole(point)).length, isThere ? 1 : 0);
      await assertImported(point);
    });
  }

  for (const point of ["kernel.prepared", "kernel.moved", "kept.first"] as const) {
    it(`at ${point} of modules for one that is there leaves it as it was, or with all of them`, async () => {
      const { id } = await kernels.importFile(await kernelFile("a"), {});
      const modules = await writeModules(scratch, "6.1.0-test");
      assert.ok(await killedAt(point, await imported(modules)), "the point is passed");
      assert.deepEqual(await assertWhole(point), [id]);
      assert.equal(kernels.list()[0]?.modulesDirectory !== undefined, point === "kept.first");
      await kernels.importFile(join(scratch, "a"), { modulesDirectory: modules });
      assert.deepEqual(await assertWhole(`${point}: imported again`), [id]);
      assert.notEqual(kernels.list()[0]?.modulesDirectory, undefined);
    });
  }

  it("in the place of one that can't be read leaves none, or the new one", async () => {
    const points: readonly Failpoint[] = ["kernel.create.aside", "kernel.create.renamed"];
    for (const point of points) {
      const { id } = await kernels.importFile(await kernelFile("a"), {});
      await damageFile(
        join(kernelsDirectory(), id, "kernel.json"),
        { what: "torn", change: () => "{" },
        true,
      );
      assert.ok(await killedAt(point, await imported()), `${point} is passed`);
      assert.deepEqual(await assertWhole(point), point === "kernel.create.renamed" ? [id] : []);
      await assertImported(point);
    }
  });
});

describe("a kernel's removal that is killed", () => {
  it("at kernel.remove.renamed is over, and another is the default", async () => {
    const { id } = await kernels.importFile(await kernelFile("a"), {});
    const other = await kernels.importFile(await kernelFile("b"), { name: "other" });
    await kernels.setDefault(id);
    const deed = { dataRoot: join(scratch, "data"), kernel: "remove", key: id } as const;
    assert.ok(await killedAt("kernel.remove.renamed", deed), "the point is passed");
    await reopen();
    assert.deepEqual(
      kernels.list().map((kernel) => kernel.id),
      [other.id],
    );
    assert.equal(kernels.default()?.kernel.id, other.id);
    const left = (await readdir(kernelsDirectory())).filter((name) => !name.startsWith("default.json"));
    assert.deepEqual(left, [other.id]);
  });
});
