// Extended attributes as bytes (filesystems/ext4, "Extended Attributes"): as many as fit behind the inode's fields,
// the rest in one block, which inodes with the same rest share.

import { Code, KilnError } from "../../base/errors.js";
import { crc32c, crc32cOfNumber } from "./crc32c.js";
import { BLOCK_SIZE } from "./format.js";
import { INLINE_XATTR_SIZE } from "./inode.js";
import type { DiskXattr } from "./xattr-policy.js";

/** The most inodes that may share one attribute block. */
export const MAX_SHARERS = 1024;

const MAGIC = 0xea02_0000;
const BLOCK_HEADER = 32;
const REFCOUNT_AT = 4;
const CHECKSUM_AT = 16;
const ENTRY_SIZE = 16;
/** Four zero bytes end a list of entries. */
const LIST_END = 4;

export interface PlacedXattrs {
  readonly inline: Buffer | undefined;
  /** Content of the attribute block, still without count of sharers and checksum. */
  readonly block: Buffer | undefined;
}

/**
 * @param list sorted as planXattrs does
 * @param where names the inode in the error
 * @throws KilnError resource_exhausted `xattrs-too-large` beyond what one inode and one block hold
 */
export function placeXattrs(list: readonly DiskXattr[], where: () => string): PlacedXattrs {
  const inline: DiskXattr[] = [];
  const rest: DiskXattr[] = [];
  let room = INLINE_XATTR_SIZE - 4 - LIST_END;
  for (const xattr of list) {
    const size = sizeOf(xattr);
    if (size <= room) {
      inline.push(xattr);
      room -= size;
    } else rest.push(xattr);
  }
  return {
    inline: inline.length === 0 ? undefined : encodeInline(inline),
    block: rest.length === 0 ? undefined : encodeBlock(rest, where),
  };
}

/** Completes a block from placeXattrs: its checksum covers where it lies and how many share it. */
export function sealXattrBlock(block: Buffer, fileSystemSeed: number, at: number, sharers: number): void {
  block.writeUInt32LE(sharers, REFCOUNT_AT);
  block.writeUInt32LE(0, CHECKSUM_AT);
  // The block's number is hashed with 64 bits.
  const seed = crc32cOfNumber(crc32cOfNumber(fileSystemSeed, at), 0);
  block.writeUInt32LE(crc32c(seed, block), CHECKSUM_AT);
}

function sizeOf(xattr: DiskXattr): number {
  return ENTRY_SIZE + padded(xattr.name.length) + padded(xattr.value.length);
}

function padded(length: number): number {
  return Math.ceil(length / 4) * 4;
}

function encodeInline(list: readonly DiskXattr[]): Buffer {
  const region = Buffer.alloc(INLINE_XATTR_SIZE);
  region.writeUInt32LE(MAGIC, 0);
  // Offsets of values count from the first entry here, from the start of the block there.
  encodeEntries(list, region.subarray(4), 0);
  return region;
}

function encodeBlock(list: readonly DiskXattr[], where: () => string): Buffer {
  const size = list.reduce((sum, xattr) => sum + sizeOf(xattr), BLOCK_HEADER + LIST_END);
  if (size > BLOCK_SIZE) {
    throw new KilnError(
      Code.ResourceExhausted,
      `${where()}: its extended attributes need ${size} bytes, an ext4 inode has ${BLOCK_SIZE}`,
      { reason: "xattrs-too-large", hint: "remove extended attributes from this file in the image" },
    );
  }
  const block = Buffer.alloc(BLOCK_SIZE);
  block.writeUInt32LE(MAGIC, 0);
  block.writeUInt32LE(1, 8);
  const hashes = encodeEntries(list, block, BLOCK_HEADER);
  for (let i = 0, at = BLOCK_HEADER; i < list.length; i++) {
    block.writeUInt32LE(hashes[i] ?? 0, at + 12);
    at += ENTRY_SIZE + padded(list[i]?.name.length ?? 0);
  }
  block.writeUInt32LE(hashOfHashes(hashes), 12);
  return block;
}

/** Entries from `at` upwards, values from the end of the region downwards. Returns each entry's hash. */
function encodeEntries(list: readonly DiskXattr[], region: Buffer, at: number): number[] {
  let entry = at;
  let valueAt = region.length;
  return list.map(({ prefix, name, value }) => {
    region.writeUInt8(name.length, entry);
    region.writeUInt8(prefix, entry + 1);
    region.writeUInt32LE(value.length, entry + 8);
    region.write(name, entry + ENTRY_SIZE, "latin1");
    if (value.length > 0) {
      valueAt -= padded(value.length);
      region.set(value, valueAt);
      region.writeUInt16LE(valueAt, entry + 2);
    }
    entry += ENTRY_SIZE + padded(name.length);
    return hashXattr(name, region.subarray(valueAt, valueAt + padded(value.length)));
  });
}

/** e_hash: name by bytes, value by words. Inline entries may leave it 0, those of a block may not. */
function hashXattr(name: string, paddedValue: Buffer): number {
  let hash = 0;
  for (let i = 0; i < name.length; i++) hash = ((hash << 5) | (hash >>> 27)) ^ name.charCodeAt(i);
  for (let i = 0; i < paddedValue.length; i += 4) {
    hash = ((hash << 16) | (hash >>> 16)) ^ paddedValue.readUInt32LE(i);
  }
  return hash >>> 0;
}

/** h_hash; 0 where any entry's hash is 0. */
function hashOfHashes(hashes: readonly number[]): number {
  if (hashes.includes(0)) return 0;
  return hashes.reduce((hash, entry) => ((hash << 16) | (hash >>> 16)) ^ entry, 0) >>> 0;
}
