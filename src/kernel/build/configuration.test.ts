import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { patchesFor, readConfiguration } from "./configuration.js";
import { KERNEL_TARGETS } from "./recipe.js";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "kiln-fragments-"));
  await writeFile(join(directory, "common.config"), "CONFIG_A=y\n");
  await writeFile(join(directory, "x86_64.config"), "CONFIG_B=y\n");
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const read = () => readConfiguration(directory, KERNEL_TARGETS.amd64);

async function addPatch(series: string, name: string, text: string): Promise<void> {
  await mkdir(join(directory, "patches", series), { recursive: true });
  await writeFile(join(directory, "patches", series, name), text);
}

describe("a configuration", () => {
  it("has no patches where there is no directory of them", async () => {
    assert.deepEqual((await read()).patches, []);
  });

  it("has the patches of each series in the order of their names, and nothing else", async () => {
    await addPatch("6.1", "b.patch", "B");
    await addPatch("6.1", "a.patch", "A");
    await addPatch("6.1", "a.patch.orig", "?");
    await addPatch("6.12", "c.patch", "C");
    const { patches } = await read();
    const names = (source: string) => patchesFor(patches, source).map(({ name }) => name);
    assert.deepEqual(names("linux-source-6.1"), ["a.patch", "b.patch"]);
    assert.deepEqual(names("linux-source-6.12"), ["c.patch"]);
    assert.deepEqual(names("linux-source-6"), []);
  });

  it("is another one with another patch", async () => {
    const bare = (await read()).hash;
    await addPatch("6.1", "a.patch", "A");
    const patched = (await read()).hash;
    assert.notEqual(patched, bare);
    await addPatch("6.1", "a.patch", "A'");
    assert.notEqual((await read()).hash, patched);
  });
});
