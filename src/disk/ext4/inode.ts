// One 256-byte inode record (filesystems/ext4, "Index Nodes"): fields, times beyond 2038, owners beyond 65535,
// checksum. Knows nothing of files, only of the numbers in the record.

import { crc32c } from "./crc32c.js";
import { INODE_SIZE } from "./format.js";

/** Bytes of the fields after the classic 128; extended attributes follow at 128 + 32. */
export const EXTRA_SIZE = 32;
export const CLASSIC_SIZE = 128;
/** Bytes an inode has for extended attributes. */
export const INLINE_XATTR_SIZE = INODE_SIZE - CLASSIC_SIZE - EXTRA_SIZE;

/** A time as an inode stores it. */
export interface InodeTime {
  /** Low 32 bits of the seconds. */
  readonly seconds: number;
  /** Nanoseconds shifted by two, and two more bits of seconds. */
  readonly extra: number;
}

export interface InodeRecord {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly links: number;
  readonly flags: number;
  /** File system blocks owned: data, tree nodes, attribute block. */
  readonly blocks: number;
  /** i_block: extent tree root, short symlink target or device number. */
  readonly block: Uint8Array;
  /** Of the content; atime is given the same. */
  readonly modified: InodeTime;
  /** Of the image: ctime and birth. */
  readonly created: InodeTime;
  /** The block with more extended attributes, or 0. */
  readonly xattrBlock: number;
  /** The bytes after the fields: magic, entries, values; at most INLINE_XATTR_SIZE. */
  readonly inlineXattrs?: Uint8Array | undefined;
}

const NANOSECONDS = 1_000_000_000n;
const MIN_SECONDS = -(2 ** 31);
/** April 2310. The format has one more bit, but e2fsck takes what lies beyond for times before 1970 gone wrong. */
const MAX_SECONDS = 2 ** 33 + 2 ** 31 - 1;

/** Times outside 1901..2310 become the nearest that ext4 can say. */
export function encodeTime(ns: bigint): InodeTime {
  let nanoseconds = ns % NANOSECONDS;
  if (nanoseconds < 0n) nanoseconds += NANOSECONDS;
  const exact = Number((ns - nanoseconds) / NANOSECONDS);
  if (exact < MIN_SECONDS) return { seconds: MIN_SECONDS >>> 0, extra: 0 };
  if (exact > MAX_SECONDS) return { seconds: MAX_SECONDS >>> 0, extra: 2 };
  // The low word is read as signed, so the epoch counts from 1901, not from 1970.
  const epoch = Math.floor((exact - MIN_SECONDS) / 2 ** 32);
  return { seconds: exact >>> 0, extra: ((Number(nanoseconds) << 2) | epoch) >>> 0 };
}

/**
 * Writes the record at `at`, where `target` holds zeros.
 *
 * @param inodeSeed from seedOfInode
 */
export function encodeInode(target: Buffer, at: number, record: InodeRecord, inodeSeed: number): void {
  target.writeUInt16LE(record.mode, at);
  target.writeUInt16LE(record.uid & 0xffff, at + 0x02);
  target.writeUInt32LE(record.size >>> 0, at + 0x04);
  target.writeUInt32LE(record.modified.seconds, at + 0x08);
  target.writeUInt32LE(record.created.seconds, at + 0x0c);
  target.writeUInt32LE(record.modified.seconds, at + 0x10);
  target.writeUInt16LE(record.gid & 0xffff, at + 0x18);
  target.writeUInt16LE(record.links, at + 0x1a);
  target.writeUInt32LE(record.flags, at + 0x20);
  target.set(record.block, at + 0x28);
  target.writeUInt32LE(record.xattrBlock, at + 0x68);
  target.writeUInt32LE(Math.floor(record.size / 2 ** 32), at + 0x6c);
  target.writeUInt16LE(record.uid >>> 16, at + 0x78);
  target.writeUInt16LE(record.gid >>> 16, at + 0x7a);
  // i_blocks counts sectors of 512 bytes in 48 bits.
  const sectors = record.blocks * 8;
  target.writeUInt32LE(sectors >>> 0, at + 0x1c);
  target.writeUInt16LE(Math.floor(sectors / 2 ** 32), at + 0x74);
  encodeExtraFields(target, at + CLASSIC_SIZE, record);
  sealInode(target, at, inodeSeed);
}

function encodeExtraFields(target: Buffer, at: number, record: InodeRecord): void {
  target.writeUInt16LE(EXTRA_SIZE, at);
  target.writeUInt32LE(record.created.extra, at + 0x04);
  target.writeUInt32LE(record.modified.extra, at + 0x08);
  target.writeUInt32LE(record.modified.extra, at + 0x0c);
  target.writeUInt32LE(record.created.seconds, at + 0x10);
  target.writeUInt32LE(record.created.extra, at + 0x14);
  if (record.inlineXattrs !== undefined) target.set(record.inlineXattrs, at + EXTRA_SIZE);
}

/** Sets the checksum of the record at `at`, whose checksum fields are zero. */
export function sealInode(target: Buffer, at: number, inodeSeed: number): void {
  const checksum = crc32c(inodeSeed, target, at, at + INODE_SIZE);
  target.writeUInt16LE(checksum & 0xffff, at + 0x7c);
  // Without room for extra fields there is no high half; all-zero reserved inodes have none.
  if (target.readUInt16LE(at + CLASSIC_SIZE) !== 0) target.writeUInt16LE(checksum >>> 16, at + 0x82);
}

/** i_block of a device (char or block): the short form where it fits, as the kernel writes it. */
export function encodeDevice(major: number, minor: number): Uint8Array {
  const block = Buffer.alloc(60);
  if (major < 256 && minor < 256) block.writeUInt16LE((major << 8) | minor, 0);
  else block.writeUInt32LE(((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0, 4);
  return block;
}
