// Directory blocks: entries one after the other, each naming the length up to the next, closed by a checksum tail.
// Small directories are one such block; larger ones are indexed (indexed-directory.ts).

import { crc32c } from "./crc32c.js";
import { BLOCK_SIZE } from "./format.js";

/** One name in a directory. */
export interface DirectoryEntry {
  /** One char per byte. */
  readonly name: string;
  readonly inode: number;
  /** EntryType. */
  readonly type: number;
}

/** Bytes of a block that entries may use; the rest is the checksum tail. */
export const ENTRY_SPACE = BLOCK_SIZE - 12;

const TAIL_SIZE = 12;
const TAIL_TYPE = 0xde;

/** Bytes that an entry takes. */
export function entrySize(name: string): number {
  return (8 + name.length + 3) & ~3;
}

/** Packs entries into one directory block; the caller made sure that they fit. */
export function encodeDirectoryBlock(
  block: Buffer,
  entries: Iterable<DirectoryEntry>,
  inodeSeed: number,
): void {
  block.fill(0);
  let at = 0;
  let last = 0;
  for (const entry of entries) {
    last = at;
    at += writeEntry(block, at, entry, entrySize(entry.name));
  }
  // The last entry reaches to the tail.
  block.writeUInt16LE(ENTRY_SPACE - last, last + 4);
  block.writeUInt16LE(TAIL_SIZE, ENTRY_SPACE + 4);
  block.writeUInt8(TAIL_TYPE, ENTRY_SPACE + 7);
  block.writeUInt32LE(crc32c(inodeSeed, block, 0, ENTRY_SPACE), ENTRY_SPACE + 8);
}

/** Writes one entry that takes `length` bytes, and returns that. */
export function writeEntry(block: Buffer, at: number, entry: DirectoryEntry, length: number): number {
  block.writeUInt32LE(entry.inode, at);
  block.writeUInt16LE(length, at + 4);
  block.writeUInt8(entry.name.length, at + 6);
  block.writeUInt8(entry.type, at + 7);
  block.write(entry.name, at + 8, "latin1");
  return length;
}
