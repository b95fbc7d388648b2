import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ROOT_SIZE, writeExtentTree } from "./extents.js";
import type { Run } from "./file-data.js";

describe("writeExtentTree", () => {
  it("keeps up to four extents in the inode", () => {
    const { root, blocks } = treeOf(scattered(4));
    assert.equal(blocks, 0);
    assert.deepEqual(headerOf(root), { entries: 4, depth: 0 });
  });

  it("cuts long runs into extents of 32768 blocks", () => {
    const { root } = treeOf([{ logical: 5, physical: 1000, count: 70_000 }]);
    assert.deepEqual(headerOf(root), { entries: 3, depth: 0 });
    assert.equal(root.readUInt32LE(12 + 24), 5 + 65_536);
    assert.equal(root.readUInt16LE(12 + 24 + 4), 70_000 - 65_536);
    assert.equal(root.readUInt32LE(12 + 24 + 8), 1000 + 65_536);
  });

  it("fills tree blocks completely and grows by levels", () => {
    assert.deepEqual(shapeOf(5), { entries: 1, depth: 1, blocks: 1 });
    assert.deepEqual(shapeOf(4 * 340), { entries: 4, depth: 1, blocks: 4 });
    assert.deepEqual(shapeOf(4 * 340 + 1), { entries: 1, depth: 2, blocks: 6 });
    assert.deepEqual(shapeOf(5 * 340 * 340), { entries: 1, depth: 3, blocks: 5 * 340 + 5 + 1 });
  });
});

function scattered(count: number): Run[] {
  return Array.from({ length: count }, (_, i) => ({ logical: 2 * i, physical: 3 * i + 7, count: 1 }));
}

function treeOf(runs: Run[]): { root: Buffer; blocks: number } {
  const root = Buffer.alloc(ROOT_SIZE);
  let next = 1000;
  const written = new Set<number>();
  const blocks = writeExtentTree(runs, root, 0, {
    allocate: () => next++,
    write: (block) => written.add(block),
  });
  assert.equal(written.size, blocks);
  return { root, blocks };
}

function shapeOf(extents: number): { entries: number; depth: number; blocks: number } {
  const { root, blocks } = treeOf(scattered(extents));
  return { ...headerOf(root), blocks };
}

function headerOf(node: Buffer): { entries: number; depth: number } {
  return { entries: node.readUInt16LE(2), depth: node.readUInt16LE(6) };
}
