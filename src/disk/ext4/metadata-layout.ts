// Where superblock copies, descriptors, bitmaps and inode tables lie, and which blocks that leaves for data. Knows
// block arithmetic only; how many groups and inodes there are was decided before.

import { BLOCKS_PER_GROUP, GROUPS_PER_FLEX } from "./format.js";

/** `count` blocks from block `start` on. */
export interface BlockRange {
  readonly start: number;
  readonly count: number;
}

export interface Shape {
  /** Blocks of the file system; a tail too small for a group of its own is left unused. */
  readonly blocks: number;
  readonly groupCount: number;
  readonly inodesPerGroup: number;
  readonly inodeTableBlocks: number;
  readonly descriptorBlocks: number;
  /** Behind each copy of the descriptors, for those of a file system that has grown. 0: it can't grow while it is mounted. */
  readonly reservedDescriptorBlocks: number;
  /** The groups that hold backups of superblock and descriptors, ascending: one, or those of `sparse_super`. */
  readonly backupGroups: readonly number[];
}

/** One block group's own metadata; with `flex_bg` it mostly lies in another group. */
export interface GroupPlace {
  readonly blockBitmap: number;
  readonly inodeBitmap: number;
  readonly inodeTable: number;
}

export interface MetadataLayout {
  readonly groups: readonly GroupPlace[];
  /** What is not metadata, ascending. The journal is allocated from it first. */
  readonly dataRanges: readonly BlockRange[];
  /** Free blocks of each group before anything is allocated. */
  readonly freeInGroup: Uint32Array;
  /** 1 for groups that hold metadata of others: no reader can guess their bitmap, so it must be written. */
  readonly hasForeignMetadata: Uint8Array;
}

/** Packs the metadata of each 16 groups at the start of the first of them. */
export function layOutMetadata(shape: Shape): MetadataLayout {
  const cursor = new MetadataCursor(shape);
  const groups: GroupPlace[] = [];
  for (let head = 0; head < shape.groupCount; head += GROUPS_PER_FLEX) {
    const members = Math.min(GROUPS_PER_FLEX, shape.groupCount - head);
    cursor.moveTo(head * BLOCKS_PER_GROUP);
    const blockBitmap = cursor.take(members);
    const inodeBitmap = cursor.take(members);
    for (let i = 0; i < members; i++) {
      const inodeTable = cursor.take(shape.inodeTableBlocks);
      groups.push({ blockBitmap: blockBitmap + i, inodeBitmap: inodeBitmap + i, inodeTable });
    }
  }
  const dataRanges = complement(cursor.used, shape.blocks);
  return {
    groups,
    dataRanges,
    freeInGroup: countByGroup(dataRanges, shape.groupCount),
    hasForeignMetadata: markForeign(groups, shape.inodeTableBlocks),
  };
}

/** Hands out metadata blocks, ascending, and steps over the superblock copies. */
class MetadataCursor {
  readonly used: BlockRange[];
  /** Copies of superblock and descriptors, ascending. */
  readonly #copies: readonly BlockRange[];
  #next = 0;

  constructor({ descriptorBlocks, reservedDescriptorBlocks, backupGroups }: Shape) {
    const count = 1 + descriptorBlocks + reservedDescriptorBlocks;
    this.#copies = [0, ...backupGroups].map((group) => ({ start: group * BLOCKS_PER_GROUP, count }));
    this.used = [...this.#copies];
    this.#next = count;
  }

  /** Goes on at `block`, unless tables of the groups before already reach beyond it. */
  moveTo(block: number): void {
    this.#next = Math.max(this.#next, block);
  }

  take(count: number): number {
    for (const copy of this.#copies) {
      const end = copy.start + copy.count;
      if (this.#next < end && this.#next + count > copy.start) this.#next = end;
    }
    const start = this.#next;
    this.#next += count;
    this.used.push({ start, count });
    return start;
  }
}

function complement(used: readonly BlockRange[], blocks: number): BlockRange[] {
  const free: BlockRange[] = [];
  let at = 0;
  for (const range of used.toSorted((a, b) => a.start - b.start)) {
    if (range.start > at) free.push({ start: at, count: range.start - at });
    at = range.start + range.count;
  }
  if (at < blocks) free.push({ start: at, count: blocks - at });
  return free;
}

function markForeign(groups: readonly GroupPlace[], inodeTableBlocks: number): Uint8Array {
  const marks = new Uint8Array(groups.length);
  groups.forEach(({ blockBitmap, inodeBitmap, inodeTable }, group) => {
    // A table is shorter than a group: its first and last block name every group it touches.
    for (const block of [blockBitmap, inodeBitmap, inodeTable, inodeTable + inodeTableBlocks - 1]) {
      const holder = Math.floor(block / BLOCKS_PER_GROUP);
      if (holder !== group) marks[holder] = 1;
    }
  });
  return marks;
}

/** How many blocks of `ranges` lie in each group. */
export function countByGroup(ranges: Iterable<BlockRange>, groupCount: number): Uint32Array {
  const counts = new Uint32Array(groupCount);
  for (const { start, count } of ranges) {
    for (let at = start; at < start + count; ) {
      const group = Math.floor(at / BLOCKS_PER_GROUP);
      const end = Math.min(start + count, (group + 1) * BLOCKS_PER_GROUP);
      counts[group] = (counts[group] ?? 0) + end - at;
      at = end;
    }
  }
  return counts;
}
