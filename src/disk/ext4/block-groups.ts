// Bitmaps and descriptors of the block groups. Groups that nobody has touched are only marked as such, so that an
// almost empty image of any size is an almost empty file.

import { crc32c, crc32cOfNumber } from "./crc32c.js";
import { BLOCK_SIZE, BLOCKS_PER_GROUP, DESCRIPTOR_SIZE, GroupFlag } from "./format.js";
import type { Geometry } from "./geometry.js";
import { type BlockRange, countByGroup } from "./metadata-layout.js";

export interface GroupUse {
  /** Every free block, ascending. */
  readonly freeRanges: readonly BlockRange[];
  /** Inodes 1 to this number are in use, without gaps. */
  readonly lastInode: number;
  /** Directories in each group's inode table. */
  readonly directories: Uint32Array;
}

interface Bitmap {
  /** GroupFlag that says it was not written, or 0. */
  readonly flag: number;
  readonly checksum: number;
}

/**
 * Writes the bitmaps that must exist and returns the table of descriptors, which fills its blocks.
 *
 * @param seed of the file system's checksums
 */
export function writeBlockGroups(
  geometry: Geometry,
  use: GroupUse,
  seed: number,
  write: (block: number, content: Uint8Array) => void,
): Buffer {
  const table = Buffer.alloc(geometry.descriptorBlocks * BLOCK_SIZE);
  const free = countByGroup(use.freeRanges, geometry.groupCount);
  const blockBitmaps = writeBlockBitmaps(geometry, use.freeRanges, free, seed, write);
  for (let group = 0; group < geometry.groupCount; group++) {
    const inodes = inodesInGroup(geometry, use.lastInode, group);
    const inodeBitmap = writeInodeBitmap(geometry, group, inodes, seed, write);
    encodeDescriptor(table, seed, geometry, group, {
      freeBlocks: free[group] ?? 0,
      freeInodes: geometry.inodesPerGroup - inodes,
      directories: use.directories[group] ?? 0,
      blockBitmap: blockBitmaps[group] ?? { flag: 0, checksum: 0 },
      inodeBitmap,
    });
  }
  return table;
}

function inodesInGroup({ inodesPerGroup }: Geometry, lastInode: number, group: number): number {
  return Math.max(0, Math.min(inodesPerGroup, lastInode - group * inodesPerGroup));
}

function writeBlockBitmaps(
  geometry: Geometry,
  freeRanges: readonly BlockRange[],
  free: Uint32Array,
  seed: number,
  write: (block: number, content: Uint8Array) => void,
): Bitmap[] {
  const bitmap = Buffer.alloc(BLOCK_SIZE);
  let next = 0;
  return geometry.groups.map(({ blockBitmap }, group) => {
    // Everything is in use but what is known to be free; so are the bits beyond the last block.
    bitmap.fill(0xff);
    const start = group * BLOCKS_PER_GROUP;
    const end = start + BLOCKS_PER_GROUP;
    for (; next < freeRanges.length; next++) {
      const range = freeRanges[next] ?? { start: end, count: 0 };
      const rangeEnd = range.start + range.count;
      const first = Math.max(start, range.start);
      if (first < end) clearBits(bitmap, first - start, Math.min(end, rangeEnd) - first);
      // What reaches beyond this group is looked at again for the next.
      if (rangeEnd > end) break;
    }
    if (isUntouched(geometry, free, group)) return { flag: GroupFlag.BlockUninit, checksum: 0 };
    write(blockBitmap, bitmap);
    return { flag: 0, checksum: crc32c(seed, bitmap) };
  });
}

/** Readers infer a group's bitmap from its own metadata only; and the last group's must exist for its padding. */
function isUntouched(geometry: Geometry, free: Uint32Array, group: number): boolean {
  return (
    free[group] === geometry.freeInGroup[group] &&
    geometry.hasForeignMetadata[group] === 0 &&
    group !== geometry.groupCount - 1
  );
}

function writeInodeBitmap(
  geometry: Geometry,
  group: number,
  inodes: number,
  seed: number,
  write: (block: number, content: Uint8Array) => void,
): Bitmap {
  if (inodes === 0) return { flag: GroupFlag.InodeUninit, checksum: 0 };
  const bitmap = Buffer.alloc(BLOCK_SIZE, 0xff);
  clearBits(bitmap, inodes, geometry.inodesPerGroup - inodes);
  write(geometry.groups[group]?.inodeBitmap ?? 0, bitmap);
  return { flag: 0, checksum: crc32c(seed, bitmap, 0, geometry.inodesPerGroup / 8) };
}

/** Clears bits `[first, first + count)`; bit 0 is the lowest of byte 0. */
function clearBits(bitmap: Buffer, first: number, count: number): void {
  const end = first + count;
  const clear = (bit: number) => {
    bitmap.writeUInt8(bitmap.readUInt8(bit >> 3) & ~(1 << (bit & 7)), bit >> 3);
  };
  let bit = first;
  for (; bit < end && bit % 8 !== 0; bit++) clear(bit);
  const bytes = (end - bit) >> 3;
  bitmap.fill(0, bit >> 3, (bit >> 3) + bytes);
  for (bit += bytes * 8; bit < end; bit++) clear(bit);
}

interface DescriptorFacts {
  freeBlocks: number;
  freeInodes: number;
  directories: number;
  blockBitmap: Bitmap;
  inodeBitmap: Bitmap;
}

function encodeDescriptor(
  table: Buffer,
  seed: number,
  geometry: Geometry,
  group: number,
  facts: DescriptorFacts,
): void {
  const at = group * DESCRIPTOR_SIZE;
  const place = geometry.groups[group];
  table.writeUInt32LE(place?.blockBitmap ?? 0, at);
  table.writeUInt32LE(place?.inodeBitmap ?? 0, at + 0x04);
  table.writeUInt32LE(place?.inodeTable ?? 0, at + 0x08);
  // Counts reach 32768 at most: their high halves stay 0.
  table.writeUInt16LE(facts.freeBlocks, at + 0x0c);
  table.writeUInt16LE(facts.freeInodes, at + 0x0e);
  table.writeUInt16LE(facts.directories, at + 0x10);
  // "Zeroed" keeps the guest from writing zeros over every inode table, which would all land in its cow file.
  const flags = facts.blockBitmap.flag | facts.inodeBitmap.flag | GroupFlag.InodeZeroed;
  table.writeUInt16LE(flags, at + 0x12);
  table.writeUInt16LE(facts.blockBitmap.checksum & 0xffff, at + 0x18);
  table.writeUInt16LE(facts.inodeBitmap.checksum & 0xffff, at + 0x1a);
  // Inodes are numbered without gaps, so all free ones are at the end of the table.
  table.writeUInt16LE(facts.freeInodes, at + 0x1c);
  table.writeUInt16LE(facts.blockBitmap.checksum >>> 16, at + 0x38);
  table.writeUInt16LE(facts.inodeBitmap.checksum >>> 16, at + 0x3a);
  const checksum = crc32c(crc32cOfNumber(seed, group), table, at, at + DESCRIPTOR_SIZE);
  table.writeUInt16LE(checksum & 0xffff, at + 0x1e);
}
