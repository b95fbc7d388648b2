import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { hasReason } from "../../base/errors.js";
import { BLOCKS_PER_GROUP } from "./format.js";
import { type Geometry, planGeometry } from "./geometry.js";

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const TIB = 2 ** 40;

describe("planGeometry", () => {
  it("gives every block of any disk to exactly one owner", () => {
    const sizes = fc.integer({ min: 4096, max: (40 * GIB) / 4096 }).map((blocks) => blocks * 4096);
    fc.assert(
      fc.property(sizes, (sizeBytes) => {
        assertPartition(planGeometry({ sizeBytes }));
      }),
      { numRuns: 60 },
    );
  });

  it("steps over the backup superblock where inode tables reach so far", () => {
    const geometry = planGeometry({ sizeBytes: 2 * GIB, inodes: 16 * BLOCKS_PER_GROUP });
    assertPartition(geometry);
    assert.ok(geometry.groups.some(({ inodeTable }) => inodeTable > BLOCKS_PER_GROUP));
  });

  it("gives a 64 GiB disk 4 million inodes, a 64 MiB journal and one backup", () => {
    const geometry = planGeometry({ sizeBytes: 64 * GIB });
    assert.equal(geometry.groupCount, 512);
    assert.equal(geometry.groupCount * geometry.inodesPerGroup, 4 * MIB);
    assert.equal(geometry.journalBlocks, 16_384);
    assert.deepEqual([geometry.backupGroups, geometry.reservedDescriptorBlocks], [[1], 0]);
  });

  it("reserves descriptors for growth to 2 TiB, and to four times what is larger", () => {
    const shapes = [16 * MIB, GIB, 64 * GIB, 2 * TIB, 15 * TIB].map((sizeBytes) => {
      const geometry = planGeometry({ sizeBytes, growable: true });
      assertPartition(geometry);
      return [geometry.descriptorBlocks, geometry.reservedDescriptorBlocks, geometry.backupGroups.length];
    });
    assert.deepEqual(shapes, [
      [1, 15, 0],
      [1, 127, 4],
      [8, 248, 12],
      [256, 768, 19],
      [1920, 1024, 24],
    ]);
  });

  it("takes disks from 8 MiB with and 512 KiB without journal to 15 TiB", () => {
    assert.equal(planGeometry({ sizeBytes: 8 * MIB }).journalBlocks, 1024);
    assert.equal(planGeometry({ sizeBytes: MIB / 2, journal: false }).blocks, 128);
    assert.equal(planGeometry({ sizeBytes: 15 * TIB }).groupCount, (15 * TIB) / (128 * MIB));
  });

  it("leaves out a last group that could hold little but its own tables", () => {
    assert.equal(planGeometry({ sizeBytes: 128 * MIB + 4096 }).blocks, BLOCKS_PER_GROUP);
    assert.equal(planGeometry({ sizeBytes: 160 * MIB }).blocks, 160 * 256);
  });

  it("makes room for as many inodes as asked for", () => {
    const geometry = planGeometry({ sizeBytes: 64 * MIB, inodes: 20_001, journal: false });
    assert.ok(geometry.inodesPerGroup >= 20_001);
  });

  it("refuses sizes that are no disk's", () => {
    for (const sizeBytes of [0.5, 4097, Number.NaN, 16 * TIB]) {
      assert.throws(
        () => planGeometry({ sizeBytes }),
        (error) => hasReason(error, "bad-disk-size"),
      );
    }
  });

  it("says how much a disk that is too small lacks", () => {
    assert.throws(
      () => planGeometry({ sizeBytes: 4 * MIB }),
      (error) => hasReason(error, "disk-too-small") && /needs at least 8MiB/.test((error as Error).message),
    );
    assert.throws(
      () => planGeometry({ sizeBytes: 16 * MIB, inodes: 40_000 }),
      (error) => hasReason(error, "disk-too-small"),
    );
  });
});

/** Superblock copies, bitmaps, tables and data cover each block once. */
function assertPartition(geometry: Geometry): void {
  const count = 1 + geometry.descriptorBlocks + geometry.reservedDescriptorBlocks;
  const copies = [0, ...geometry.backupGroups].map((group) => ({ start: group * BLOCKS_PER_GROUP, count }));
  const ranges = [...copies, ...geometry.dataRanges];
  for (const { blockBitmap, inodeBitmap, inodeTable } of geometry.groups) {
    ranges.push({ start: blockBitmap, count: 1 }, { start: inodeBitmap, count: 1 });
    ranges.push({ start: inodeTable, count: geometry.inodeTableBlocks });
  }
  let next = 0;
  for (const { start, count } of ranges.sort((a, b) => a.start - b.start)) {
    assert.equal(start, next);
    next = start + count;
  }
  assert.equal(next, geometry.blocks);
}
