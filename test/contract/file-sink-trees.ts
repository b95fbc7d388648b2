// Contract of file sinks: trees of every kind and shape.

import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import type { Inode } from "../../src/base/tree.js";
import { MIB, type SinkBench } from "./file-sink-bench.js";
import { device, directory, makeTree, special, symlink, treePlans } from "./file-sink-tree.js";

export function treeContract(bench: SinkBench): void {
  it("keeps any tree of any kinds of inodes", async () => {
    await fc.assert(
      fc.asyncProperty(treePlans, async (plan) => {
        await bench.roundTrip((maker, sink) => makeTree(plan, maker, sink), 64 * MIB);
      }),
      { numRuns: 25 },
    );
  });

  it("keeps an empty root and its attributes", async () => {
    await bench.roundTrip(() => directory({}, { mode: 0o1777, uid: 5, gid: 6 }));
  });

  it("keeps hard links of files, symlinks and devices", async () => {
    const found = await bench.roundTrip(async (make) => {
      const file = await make.file([Buffer.from("linked")]);
      const link = symlink("a");
      const node = device("char", 1, 3);
      return directory({ a: file, b: directory({ c: file, d: link, e: node }), f: link, g: node });
    });
    assert.equal(found.get("a")?.links, 2);
  });

  it("keeps names of 255 bytes that are no UTF-8", async () => {
    await bench.roundTrip(() =>
      directory({ ["\xff\x01 ".repeat(85)]: special("fifo"), "\xc3": special("socket") }),
    );
  });

  it("keeps symlinks of every length", async () => {
    const lengths = [1, 58, 59, 60, 61, 255, 4000, 4095];
    await bench.roundTrip(() =>
      directory(lengths.map((length): [string, Inode] => [`to${length}`, symlink("x".repeat(length))])),
    );
  });

  it("keeps device numbers up to 12 and 20 bits", async () => {
    await bench.roundTrip(() =>
      directory({
        null: device("char", 1, 3),
        whiteout: device("char", 0, 0),
        nvme: device("block", 259, 300),
        last: device("block", 4095, 0xfffff),
      }),
    );
  });

  it("keeps directories of every size around that of one and of many blocks", async () => {
    const sizes = [100, 169, 170, 171, 254, 255, 256, 300, 1000];
    await bench.roundTrip(() =>
      directory(
        sizes.map((size): [string, Inode] => [`d${size}`, directory(links(size, `entry of ${size} `))]),
      ),
    );
  });

  it("keeps 70,000 names in one directory", async () => {
    await bench.roundTrip(() => directory({ many: directory(links(70_000, "name-")) }));
  });

  it("keeps a path of 300 nested directories", async () => {
    let deep = directory({ end: special("fifo") });
    for (let i = 0; i < 300; i++) deep = directory({ [`level${i}`]: deep });
    await bench.roundTrip(() => deep);
  });
}

/** So many names of one fifo-like inode each, cheap to make and to read back. */
function links(count: number, prefix: string): [string, Inode][] {
  return Array.from({ length: count }, (_, i) => [`${prefix}${i}`, special(i % 2 === 0 ? "fifo" : "socket")]);
}
