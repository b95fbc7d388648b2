// Inode 7, by which a mounted file system grows (filesystems/ext4, "Resize inode"): behind each copy of the group descriptors
// blocks are reserved for more of them. The inode owns these blocks, so that nobody else takes them, in a map of the old kind: its
// double indirect block names those behind the first copy, and each of those names its likes behind the other copies.

import { BLOCK_SIZE, BLOCKS_PER_GROUP, DESCRIPTOR_SIZE, ModeType } from "./format.js";
import type { InodeRecord, InodeTime } from "./inode.js";
import type { Shape } from "./metadata-layout.js";

/** Numbers in a block of an old map. */
const PER_BLOCK = BLOCK_SIZE / 4;
/** i_block: twelve direct ones, one indirect, this. */
const DOUBLE_INDIRECT_AT = 13 * 4;
const I_BLOCK_SIZE = 60;
/** All that such a map can name up to two levels: what mkfs gives it as its size. */
const SIZE = (PER_BLOCK * PER_BLOCK + PER_BLOCK + 12) * BLOCK_SIZE;
const GROUPS_PER_BLOCK = BLOCK_SIZE / DESCRIPTOR_SIZE;
/** Growth that is reserved for, in groups: 2 TiB; by a factor for what is larger than that, and for what is small. */
const GROUPS_OF_2_TIB = 2 ** 41 / (BLOCKS_PER_GROUP * BLOCK_SIZE);
const LEAST_FACTOR = 4;
const MOST_FACTOR = 1024;

/** Blocks to reserve behind the descriptors of so many groups. What grows beyond them the kernel makes a `meta_bg`. */
export function reservedDescriptorBlocks(groupCount: number): number {
  const target = Math.max(groupCount * LEAST_FACTOR, Math.min(groupCount * MOST_FACTOR, GROUPS_OF_2_TIB));
  const blocks = Math.ceil(target / GROUPS_PER_BLOCK) - Math.ceil(groupCount / GROUPS_PER_BLOCK);
  return Math.min(blocks, PER_BLOCK);
}

export interface ResizeTarget {
  readonly geometry: Pick<Shape, "descriptorBlocks" | "reservedDescriptorBlocks" | "backupGroups">;
  readonly created: InodeTime;
  allocateBlock(): number;
  write(block: number, content: Uint8Array): void;
}

/** Writes the map. @returns the inode's record */
export function writeResizeInode({ geometry, created, allocateBlock, write }: ResizeTarget): InodeRecord {
  const { descriptorBlocks, reservedDescriptorBlocks: reserved, backupGroups } = geometry;
  const first = 1 + descriptorBlocks;
  const map = Buffer.alloc(BLOCK_SIZE);
  const copies = Buffer.alloc(BLOCK_SIZE);
  for (let index = 0; index < reserved; index++) {
    const block = first + index;
    map.writeUInt32LE(block, ((descriptorBlocks + index) % PER_BLOCK) * 4);
    for (const [place, group] of backupGroups.entries()) {
      copies.writeUInt32LE(group * BLOCKS_PER_GROUP + block, place * 4);
    }
    write(block, copies);
  }
  const mapBlock = allocateBlock();
  write(mapBlock, map);
  const block = Buffer.alloc(I_BLOCK_SIZE);
  block.writeUInt32LE(mapBlock, DOUBLE_INDIRECT_AT);
  return {
    ...{ mode: ModeType.file | 0o600, uid: 0, gid: 0, size: SIZE, links: 1, flags: 0 },
    ...{ blocks: 1 + reserved * (1 + backupGroups.length), block },
    ...{ modified: created, created, xattrBlock: 0, inlineXattrs: undefined },
  };
}

/** Of a file system that may grow: those in which every kernel looks for a copy of the descriptors (`sparse_super`). */
export function sparseGroups(groupCount: number): number[] {
  const groups = new Set(groupCount > 1 ? [1] : []);
  for (const base of [3, 5, 7]) {
    for (let group = base; group < groupCount; group *= base) groups.add(group);
  }
  return [...groups].sort((a, b) => a - b);
}
