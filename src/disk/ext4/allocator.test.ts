import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { BlockAllocator } from "./allocator.js";
import type { BlockRange } from "./metadata-layout.js";

const RANGES = [
  { start: 10, count: 50 },
  { start: 100, count: 200 },
  { start: 400, count: 20 },
];

describe("BlockAllocator", () => {
  it("places one request after the other", () => {
    const blocks = new BlockAllocator(RANGES);
    assert.deepEqual(blocks.take(5), { start: 10, count: 5 });
    assert.deepEqual(blocks.take(7), { start: 15, count: 7 });
    assert.equal(blocks.free, 270 - 12);
  });

  it("steps over a range that is too short, and uses it for something smaller", () => {
    const blocks = new BlockAllocator(RANGES);
    assert.deepEqual(blocks.take(100), { start: 100, count: 100 });
    assert.deepEqual(blocks.take(30), { start: 10, count: 30 });
  });

  it("gives the longest range where none is long enough, until nothing is left", () => {
    const blocks = new BlockAllocator(RANGES);
    assert.deepEqual(blocks.take(1000), { start: 100, count: 200 });
    assert.deepEqual(blocks.take(800), { start: 10, count: 50 });
    assert.deepEqual(blocks.take(750), { start: 400, count: 20 });
    assert.equal(blocks.take(730), undefined);
    assert.equal(blocks.free, 0);
  });

  it("uses what came back before anything fresh", () => {
    const blocks = new BlockAllocator(RANGES);
    const first = blocks.take(8);
    blocks.take(8);
    assert.ok(first);
    blocks.release(first);
    assert.deepEqual(blocks.take(8), first);
  });

  it("joins neighbours that came back", () => {
    const blocks = new BlockAllocator([{ start: 0, count: 100 }]);
    const parts = [blocks.take(10), blocks.take(10), blocks.take(10), blocks.take(10)];
    for (const index of [0, 2, 1]) {
      const part = parts[index];
      assert.ok(part);
      blocks.release(part);
    }
    assert.deepEqual(blocks.take(30), { start: 0, count: 30 });
  });

  it("never gives a block twice, loses none, and counts right, whatever is taken and given back", () => {
    const step = fc.oneof(fc.nat({ max: 80 }), fc.constant(-1));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), fc.infiniteStream(fc.nat()), (steps, choices) => {
        const blocks = new BlockAllocator(RANGES);
        const held: BlockRange[] = [];
        for (const step of steps) {
          if (step >= 0) {
            const range = blocks.take(step + 1);
            if (range !== undefined) held.push(range);
          } else if (held.length > 0) {
            const [back] = held.splice(Number(choices.next().value) % held.length, 1);
            if (back !== undefined) blocks.release(back);
          }
          assert.deepEqual(blocksOf([...held, ...blocks.freeRanges()]), blocksOf(RANGES));
          assert.equal(blocksOf(blocks.freeRanges()).length, blocks.free);
        }
      }),
    );
  });
});

function blocksOf(ranges: readonly BlockRange[]): number[] {
  return ranges
    .flatMap(({ start, count }) => Array.from({ length: count }, (_, i) => start + i))
    .sort((a, b) => a - b);
}
