// Extent trees: which logical blocks of a file lie where. Up to four extents live in the inode, more in a tree of
// full blocks (e2fsck would offer to rebuild a looser one).

import { crc32c } from "./crc32c.js";
import type { Run } from "./file-data.js";
import { BLOCK_SIZE } from "./format.js";

/** Bytes of i_block, which holds the root of the tree. */
export const ROOT_SIZE = 60;

const MAGIC = 0xf30a;
const HEADER_SIZE = 12;
const ENTRY_SIZE = 12;
const ROOT_ENTRIES = (ROOT_SIZE - HEADER_SIZE) / ENTRY_SIZE;
/** Header, entries and a 4-byte checksum fill a block. */
const BLOCK_ENTRIES = Math.floor((BLOCK_SIZE - HEADER_SIZE - 4) / ENTRY_SIZE);
/** One bit of ee_len means "unwritten", so an initialised extent has at most 2^15 blocks. */
const MAX_EXTENT = 32_768;

/** A child of the level being built: an extent, or the block of the level below. */
type Entry = Run;

/** Where tree blocks go. */
export interface TreeBlocks {
  /** A block for a tree node. */
  allocate(): number;
  write(block: number, content: Uint8Array): void;
}

/**
 * Writes the tree of `runs` (ascending by logical block): all but its root go to blocks of their own.
 *
 * @param root receives i_block: 60 bytes, zero before
 * @param inodeSeed of the checksums
 * @returns how many tree blocks were written
 */
export function writeExtentTree(
  runs: readonly Run[],
  root: Buffer,
  inodeSeed: number,
  blocks: TreeBlocks,
): number {
  let level: readonly Entry[] = cutIntoExtents(runs);
  let depth = 0;
  let written = 0;
  for (; level.length > ROOT_ENTRIES; depth++) {
    const parents: Entry[] = [];
    for (let from = 0; from < level.length; from += BLOCK_ENTRIES) {
      const children = level.slice(from, from + BLOCK_ENTRIES);
      const block = blocks.allocate();
      blocks.write(block, encodeNodeBlock(children, depth, inodeSeed));
      parents.push({ logical: children[0]?.logical ?? 0, physical: block, count: 1 });
      written++;
    }
    level = parents;
  }
  encodeNode(root, level, ROOT_ENTRIES, depth);
  return written;
}

function cutIntoExtents(runs: readonly Run[]): readonly Entry[] {
  if (runs.every((run) => run.count <= MAX_EXTENT)) return runs;
  const extents: Entry[] = [];
  for (const run of runs) {
    for (let done = 0; done < run.count; done += MAX_EXTENT) {
      const count = Math.min(MAX_EXTENT, run.count - done);
      extents.push({ logical: run.logical + done, physical: run.physical + done, count });
    }
  }
  return extents;
}

function encodeNodeBlock(entries: readonly Entry[], depth: number, inodeSeed: number): Buffer {
  const block = Buffer.alloc(BLOCK_SIZE);
  encodeNode(block, entries, BLOCK_ENTRIES, depth);
  const tail = HEADER_SIZE + BLOCK_ENTRIES * ENTRY_SIZE;
  block.writeUInt32LE(crc32c(inodeSeed, block, 0, tail), tail);
  return block;
}

function encodeNode(target: Buffer, entries: readonly Entry[], max: number, depth: number): void {
  const view = new DataView(target.buffer, target.byteOffset, target.length);
  view.setUint16(0, MAGIC, true);
  view.setUint16(2, entries.length, true);
  view.setUint16(4, max, true);
  view.setUint16(6, depth, true);
  let at = HEADER_SIZE;
  for (const { logical, physical, count } of entries) {
    view.setUint32(at, logical, true);
    if (depth === 0) {
      view.setUint16(at + 4, count, true);
      view.setUint32(at + 8, physical, true);
    } else view.setUint32(at + 4, physical, true);
    at += ENTRY_SIZE;
  }
}
