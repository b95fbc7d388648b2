// The disk that a volume begins with, with e2fsprogs as witness: clean, small, and made so that it can grow. That a guest's
// kernel grows it while it is mounted is e2e's to show.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, rm, stat, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, describe, it } from "node:test";
import fc from "fast-check";
import { createEmptyDisk } from "../../src/disk/index.js";
import { assertClean, debugfs, dumpe2fs, ext4ToolsMissing, readExt4 } from "./file-sink-ext4.js";

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const TIB = 2 ** 40;
const ENV = { ...process.env, LC_ALL: "C", PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
const skip = ext4ToolsMissing();

const scratch = await mkdtemp(join(tmpdir(), "kiln-volume-disk-"));
const path = join(scratch, "disk.ext4");
after(() => rm(scratch, { recursive: true, force: true }));
beforeEach(() => rm(path, { force: true }));

async function make(sizeBytes: number): Promise<void> {
  await createEmptyDisk(path, { sizeBytes, identity: "a volume", directory: "data" });
  assertClean(path);
}

/** As dumpe2fs names it: "Reserved GDT blocks". */
function factOf(name: string): string {
  const line = dumpe2fs(path)
    .split("\n")
    .find((each) => each.startsWith(`${name}:`));
  assert.ok(line !== undefined, name);
  return line.slice(name.length + 1).trim();
}

async function grow(sizeBytes: number): Promise<void> {
  await truncate(path, sizeBytes);
  const { status, stdout, stderr } = spawnSync("resize2fs", [path], { env: ENV, encoding: "utf8" });
  assert.equal(status, 0, `${stdout}${stderr}`);
  assertClean(path);
}

describe("a volume's disk", { skip }, () => {
  it("holds one directory, root's, beside lost+found, and takes little of the host", async () => {
    await make(64 * GIB);
    const { size, blocks } = await stat(path);
    assert.equal(size, 64 * GIB);
    assert.ok(blocks * 512 < 2 * MIB, `${blocks * 512} bytes`);
    const tree = readExt4(path);
    assert.deepEqual([...tree.keys()].sort(), ["data", "lost+found"]);
    const data = tree.get("data");
    assert.deepEqual([data?.type, data?.mode, data?.uid, data?.gid], ["directory", 0o755, 0, 0]);
  });

  it("has what a kernel needs to grow it while it is mounted", async () => {
    await make(GIB);
    const features = factOf("Filesystem features").split(" ");
    assert.ok(["has_journal", "resize_inode", "sparse_super"].every((name) => features.includes(name)));
    assert.ok(!features.includes("sparse_super2"), "kernels since 5.17 refuse to grow it");
    assert.equal(factOf("Reserved GDT blocks"), "127");
    const [inode] = debugfs(path, ["stat <7>"]);
    assert.match(inode ?? "", /\(DIND\)/);
  });

  it("is clean at any size", async () => {
    const anything = fc.integer({ min: 16, max: 40 * 1024 });
    const atBorders = fc.integer({ min: 1, max: 300 }).map((groups) => groups * 128 + 1);
    await fc.assert(
      fc.asyncProperty(fc.oneof(anything, atBorders), async (mib) => {
        await rm(path, { force: true });
        await make(mib * MIB);
      }),
      { numRuns: 12 },
    );
    for (const sizeBytes of [16 * MIB, 128 * MIB, 2 * TIB]) {
      await rm(path, { force: true });
      await make(sizeBytes);
    }
  });

  it("grows within what is reserved, in one step or several, and keeps what it holds", async () => {
    await make(64 * MIB);
    for (const sizeBytes of [65 * MIB, 200 * MIB, 9 * GIB, 60 * GIB]) {
      await grow(sizeBytes);
      assert.equal(Number(factOf("Block count")) * 4096, sizeBytes);
      assert.deepEqual([...readExt4(path).keys()].sort(), ["data", "lost+found"]);
    }
    const features = factOf("Filesystem features");
    assert.ok(features.includes("resize_inode") && !features.includes("meta_bg"), features);
  });
});
