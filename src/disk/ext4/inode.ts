// One 256-byte inode record (filesystems/ext4, "Index Nodes"): fields, times beyond 2038, owners beyond 65535,
// checksum. Knows nothing of files, only of the numbers in the record.

import { crc32c } from "./crc32c.js";
import { INODE_SIZE } from "./format.js";

/** Bytes of the fields after the classic 128; extended attributes follow at 128 + 32. */
export const EXTRA_SIZE = 32;
const CLASSIC_SIZE = 128;
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

/** Encodes records one after the other into the same 256 bytes. */
export class InodeEncoder {
  readonly #bytes = Buffer.alloc(INODE_SIZE);
  /** Faster here than Buffer's own methods, cold and hot: most of these calls happen before anything is compiled. */
  readonly #view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, INODE_SIZE);

  /**
   * @param inodeSeed from seedOfInode
   * @returns the record; valid until the next call
   */
  encode(record: InodeRecord, inodeSeed: number): Uint8Array {
    this.#bytes.fill(0);
    this.#encodeClassic(record);
    this.#encodeExtra(record);
    return this.#seal(inodeSeed);
  }

  /** A reserved inode: nothing but its checksum. */
  encodeUnused(inodeSeed: number): Uint8Array {
    this.#bytes.fill(0);
    return this.#seal(inodeSeed);
  }

  #encodeClassic(record: InodeRecord): void {
    const view = this.#view;
    view.setUint16(0x00, record.mode, true);
    view.setUint16(0x02, record.uid & 0xffff, true);
    view.setUint32(0x04, record.size, true);
    view.setUint32(0x08, record.modified.seconds, true);
    view.setUint32(0x0c, record.created.seconds, true);
    view.setUint32(0x10, record.modified.seconds, true);
    view.setUint16(0x18, record.gid & 0xffff, true);
    view.setUint16(0x1a, record.links, true);
    // i_blocks counts sectors of 512 bytes in 48 bits.
    const sectors = record.blocks * 8;
    view.setUint32(0x1c, sectors, true);
    view.setUint32(0x20, record.flags, true);
    this.#bytes.set(record.block, 0x28);
    view.setUint32(0x68, record.xattrBlock, true);
    view.setUint32(0x6c, Math.floor(record.size / 2 ** 32), true);
    view.setUint16(0x74, Math.floor(sectors / 2 ** 32), true);
    view.setUint16(0x78, record.uid >>> 16, true);
    view.setUint16(0x7a, record.gid >>> 16, true);
  }

  #encodeExtra(record: InodeRecord): void {
    const view = this.#view;
    view.setUint16(CLASSIC_SIZE, EXTRA_SIZE, true);
    view.setUint32(0x84, record.created.extra, true);
    view.setUint32(0x88, record.modified.extra, true);
    view.setUint32(0x8c, record.modified.extra, true);
    view.setUint32(0x90, record.created.seconds, true);
    view.setUint32(0x94, record.created.extra, true);
    if (record.inlineXattrs !== undefined) this.#bytes.set(record.inlineXattrs, CLASSIC_SIZE + EXTRA_SIZE);
  }

  #seal(inodeSeed: number): Uint8Array {
    const checksum = crc32c(inodeSeed, this.#bytes);
    this.#view.setUint16(0x7c, checksum & 0xffff, true);
    // Without room for extra fields there is no high half: reserved inodes have none.
    if (this.#view.getUint16(CLASSIC_SIZE, true) !== 0) this.#view.setUint16(0x82, checksum >>> 16, true);
    return this.#bytes;
  }
}

/** i_block of a device (char or block): the short form where it fits, as the kernel writes it. */
export function encodeDevice(major: number, minor: number): Uint8Array {
  const block = Buffer.alloc(60);
  if (major < 256 && minor < 256) block.writeUInt16LE((major << 8) | minor, 0);
  else block.writeUInt32LE(((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0, 4);
  return block;
}
