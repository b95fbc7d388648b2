import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { silentLogger } from "../../base/log.js";
import { findBuilt, listBuilt, type NewBuild, storeBuilt } from "./built.js";

const KEY = "a".repeat(64);
const BUILD: NewBuild = {
  key: KEY,
  architecture: "amd64",
  release: "6.1.192-kiln",
  source: { package: "linux-source-6.1", version: "6.1.192-2" },
  compiler: "gcc",
  linker: "ld",
  configuration: "c".repeat(64),
  imageBytes: 6,
  epoch: 1_794_824_260,
  objects: 3,
  seconds: 7,
};

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "kiln-built-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function store(image = "kernel") {
  const files = { image: join(root, "image"), config: join(root, "config") };
  await writeFile(files.image, image);
  await writeFile(files.config, "CONFIG_A=y\n");
  return await storeBuilt(join(root, "built"), BUILD, files);
}
const find = () => findBuilt(join(root, "built"), KEY, silentLogger);

describe("results of builds", () => {
  it("say at once that they can't be stored where no directory can be made", async () => {
    const files = { image: join(root, "image"), config: join(root, "config") };
    await assert.rejects(storeBuilt("/proc/kiln-not-here/built", BUILD, files), { code: "ENOENT" });
  });

  it("are found again by their key, as they were stored", async () => {
    const stored = await store();
    assert.equal(stored.cached, false);
    assert.deepEqual(await find(), { ...stored, cached: true });
    assert.equal(await readFile(join(stored.tree, "boot/vmlinux"), "utf8"), "kernel");
    assert.equal(await readFile(join(stored.tree, "boot/config"), "utf8"), "CONFIG_A=y\n");
  });

  it("are not found where nothing was built", async () => {
    assert.equal(await find(), undefined);
    assert.deepEqual(await listBuilt(join(root, "built"), silentLogger), []);
  });

  it("that were changed are not used and are removed", async () => {
    const { tree } = await store();
    await writeFile(join(tree, "boot/vmlinux"), "kernal");
    assert.equal(await find(), undefined);
    assert.deepEqual(await readdir(join(root, "built")), []);
  });

  it("are found by the copy of their record", async () => {
    const { tree, image } = await store();
    await writeFile(join(tree, "build.json"), "{");
    assert.equal((await find())?.image, image);
  });

  it("whose record and copy are damaged are not used", async () => {
    const { tree } = await store();
    for (const name of ["build.json", "build.json.bak"]) await writeFile(join(tree, name), "{");
    assert.equal(await find(), undefined);
    assert.deepEqual(await listBuilt(join(root, "built"), silentLogger), []);
  });

  it("built again take the place of the former", async () => {
    await store("former");
    const { image } = await store("latter");
    assert.equal((await find())?.image, image);
    assert.deepEqual(await readdir(join(root, "built")), [KEY]);
  });
});
