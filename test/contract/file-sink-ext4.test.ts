// The ext4 writer under the contract of file sinks, and what is ext4's own: features, sizes, indexes.

import "../../src/base/runtime.js";
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, describe, it } from "node:test";
import fc from "fast-check";
import { hasReason } from "../../src/base/errors.js";
import type { DirectoryInode, Inode } from "../../src/base/tree.js";
import { identityOf } from "../../src/disk/ext4/identity.js";
import { type HashSeed, hashName } from "../../src/disk/ext4/name-hash.js";
import { createExt4Sink, type Ext4Options } from "../../src/disk/index.js";
import { fileSinkContract } from "./file-sink.js";
import { assertClean, debugfs, dumpe2fs, ext4ToolsMissing, readExt4 } from "./file-sink-ext4.js";
import { directory, special } from "./file-sink-tree.js";

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const DEFAULTS = { identity: "sha256:test", mtimeNs: 1_600_000_000_000_000_000n, sync: false };
const skip = ext4ToolsMissing();

fileSinkContract({
  name: "ext4",
  skip,
  create: (path, sizeBytes) => createExt4Sink(path, { ...DEFAULTS, sizeBytes }),
  assertClean,
  read: readExt4,
});

const scratch = await mkdtemp(join(tmpdir(), "kiln-ext4-"));
const path = join(scratch, "disk.img");
after(() => rm(scratch, { recursive: true, force: true }));
beforeEach(() => rm(path, { force: true }));

async function write(root: DirectoryInode, options: Partial<Ext4Options> = {}): Promise<void> {
  const sink = await createExt4Sink(path, { ...DEFAULTS, sizeBytes: 64 * MIB, ...options });
  try {
    await sink.finish(root);
  } finally {
    await sink.abort();
  }
  assertClean(path);
}

describe("sizes of ext4 images", { skip }, () => {
  it("take less than 1 MiB of the host at 64 GiB", async () => {
    await write(directory(), { sizeBytes: 64 * GIB });
    const { size, blocks } = await stat(path);
    assert.equal(size, 64 * GIB);
    assert.ok(blocks * 512 < MIB);
  });

  it("are clean at any size", async () => {
    const anything = fc.integer({ min: 8 * 256, max: (3 * GIB) / 4096 });
    const atBorders = fc
      .tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: -2, max: 700 }))
      .map(([groups, blocks]) => groups * 32_768 + blocks);
    await fc.assert(
      fc.asyncProperty(fc.oneof(anything, atBorders), fc.boolean(), async (blocks, journal) => {
        await rm(path, { force: true });
        await write(directory({ a: special("fifo") }), { sizeBytes: blocks * 4096, journal });
      }),
      { numRuns: 40 },
    );
  });

  it("are clean at 2 TiB", async () => {
    await write(directory({ a: special("fifo") }), { sizeBytes: 2048 * GIB });
    assert.ok((await stat(path)).blocks * 512 < 8 * MIB);
  });

  it("can be as small as 512 KiB without a journal", async () => {
    await write(directory(), { sizeBytes: MIB / 2, journal: false });
    assert.doesNotMatch(featuresOf(path), /has_journal/);
  });

  it("leave no file behind where they can't be made", async () => {
    await assert.rejects(write(directory(), { sizeBytes: MIB }), (error) =>
      hasReason(error, "disk-too-small"),
    );
    await assert.rejects(write(directory(), { label: "seventeen letters" }), (error) =>
      hasReason(error, "bad-label"),
    );
    assert.deepEqual(await readdir(scratch), []);
  });

  it("take no file of more than 16 TiB", async () => {
    const sink = await createExt4Sink(path, { ...DEFAULTS, sizeBytes: 64 * MIB });
    assert.throws(
      () => sink.createFile(2 ** 44),
      (error) => hasReason(error, "file-too-large"),
    );
    await sink.abort();
  });
});

describe("superblocks of ext4 images", { skip }, () => {
  it("have what a writable root needs, and nothing that Linux 5.10 lacks", async () => {
    await write(directory());
    assert.equal(
      featuresOf(path),
      "has_journal ext_attr dir_index sparse_super2 filetype extent 64bit flex_bg " +
        "sparse_super large_file huge_file dir_nlink extra_isize metadata_csum",
    );
  });

  it("say that every inode table is zeroed, so that the guest does not write it", async () => {
    await write(directory(), { sizeBytes: 2 * GIB });
    assert.equal(dumpe2fs(path).match(/^Group \d+: .*ITABLE_ZEROED/gm)?.length, 16);
  });

  it("take UUID and hash seed from the identity", async () => {
    await write(directory());
    const uuid = /UUID: +(\S+)/.exec(dumpe2fs(path))?.[1];
    const seed = /Hash Seed: +(\S+)/.exec(dumpe2fs(path))?.[1];
    assert.match(uuid ?? "", /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-/);
    await rm(path);
    await write(directory(), { identity: "another" });
    assert.notEqual(/UUID: +(\S+)/.exec(dumpe2fs(path))?.[1], uuid);
    assert.notEqual(/Hash Seed: +(\S+)/.exec(dumpe2fs(path))?.[1], seed);
  });

  it("are clean where their time is in the future or before 1970", async () => {
    for (const mtimeNs of [4_000_000_000_000_000_000n, -4_000_000_000_000_000_000n]) {
      await rm(path, { force: true });
      await write(directory(), { mtimeNs });
    }
  });

  it("carry a label", async () => {
    await write(directory(), { label: "kiln-modules-16b" });
    assert.match(dumpe2fs(path), /volume name: +kiln-modules-16b/);
  });
});

describe("directories of ext4 images", { skip }, () => {
  it("index directories of more than one block, with two levels where needed", async () => {
    const names = (count: number, length: number) =>
      directory(
        Array.from({ length: count }, (_, i): [string, Inode] => [`${i}`.padStart(length, "n"), FIFO]),
      );
    await write(directory({ one: names(50, 8), many: names(2000, 8), most: names(9000, 250) }), {
      sizeBytes: 256 * MIB,
    });
    assert.match(debugfs(path, ["htree /many"])[0] ?? "", /Indirect levels: 0/);
    assert.match(debugfs(path, ["htree /most"])[0] ?? "", /Indirect levels: 1/);
    assert.match(debugfs(path, ["stat /one"])[0] ?? "", /Flags: 0x80000\b/);
    assert.match(debugfs(path, ["stat /many"])[0] ?? "", /Flags: 0x81000\b/);
  });

  it("say in the index where names of one hash lie in two blocks", async () => {
    // 12 names of 250 bytes fill a leaf: 11 lower ones put the border between the two of equal hash.
    const { pair, hash, others } = namesOfOneHash(identityOf(DEFAULTS.identity).hashSeed);
    const lower = others.filter((other) => other.hash < hash).slice(0, 11);
    const higher = others.filter((other) => other.hash > hash).slice(0, 40);
    const names = [...pair, ...[...lower, ...higher].map(({ name }) => name)];
    await write(directory({ it: directory(names.map((name): [string, Inode] => [name, FIFO])) }));
    const continued = `0x${(hash + 1).toString(16).padStart(8, "0")}`;
    assert.match(debugfs(path, ["htree /it"])[0] ?? "", new RegExp(`Hash ${continued}`));
  });

  it("hold 66,000 subdirectories in one directory, whose link count is then unknown", async () => {
    const many = Array.from({ length: 66_000 }, (_, i): [string, Inode] => [`d${i}`, directory()]);
    await write(directory({ many: directory(many) }), { sizeBytes: GIB });
    assert.match(debugfs(path, ["stat /many"])[0] ?? "", /Links: 1 /);
  });

  it("use the image's own lost+found where it has one", async () => {
    await write(directory({ "lost+found": directory({ found: special("fifo") }, { mode: 0o755 }) }));
    assert.deepEqual([...readExt4(path).keys()], ["lost+found", "lost+found/found"]);
  });

  it("are clean whatever the image calls lost+found", async () => {
    await write(directory({ "lost+found": special("fifo") }));
    assert.equal(readExt4(path).get("lost+found")?.type, "fifo");
  });
});

/** One inode for many names: cheaper than one each. */
const FIFO: Inode = special("fifo");

interface HashedName {
  readonly name: string;
  readonly hash: number;
}

/** Two names of 250 bytes with one hash, and many others, found by trying. */
function namesOfOneHash(seed: HashSeed): { pair: [string, string]; hash: number; others: HashedName[] } {
  const seen = new Map<number, string>();
  for (let i = 0; i < 2_000_000; i++) {
    const name = `${i}`.padStart(250, "-");
    const { hash } = hashName(name, seed);
    const before = seen.get(hash);
    if (before !== undefined && seen.size > 1000) {
      seen.delete(hash);
      return { pair: [before, name], hash, others: [...seen].map(([h, n]) => ({ name: n, hash: h })) };
    }
    seen.set(hash, name);
  }
  return assert.fail("no two names of one hash");
}

function featuresOf(path: string): string {
  return /Filesystem features: +(.*)/.exec(dumpe2fs(path))?.[1] ?? "";
}
