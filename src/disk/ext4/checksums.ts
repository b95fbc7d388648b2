// The seeds of `metadata_csum`: each checksum begins with the file system's UUID, and those that belong to an inode
// go on with its number, so that a block that ends up in the wrong place is noticed.

import { crc32c, crc32cOfNumber } from "./crc32c.js";

const START = 0xffff_ffff;

/** Seed of everything that belongs to the file system as a whole. */
export function seedOfFileSystem(uuid: Uint8Array): number {
  return crc32c(START, uuid);
}

/** Seed of an inode and of the extent and directory blocks it owns. Generations are always 0 here. */
export function seedOfInode(fileSystemSeed: number, inode: number): number {
  return crc32cOfNumber(crc32cOfNumber(fileSystemSeed, inode), 0);
}

/** The superblock's own checksum covers the UUID itself, so it has no seed. */
export function checksumOfSuperblock(bytesBefore: Uint8Array): number {
  return crc32c(START, bytesBefore);
}
