// The journal of a clean file system: a JBD2 superblock that says "empty", before blocks that stay holes.

import { BLOCK_SIZE } from "./format.js";

const MAGIC = 0xc03b3998;
const SUPERBLOCK_V2 = 4;

/**
 * The first block of a journal of `blocks` blocks (all fields big-endian). No features: the kernel turns on what it
 * wants (64-bit numbers, checksums) at the first writable mount.
 */
export function encodeJournalSuperblock(blocks: number, uuid: Uint8Array): Buffer {
  const block = Buffer.alloc(BLOCK_SIZE);
  block.writeUInt32BE(MAGIC, 0x00);
  block.writeUInt32BE(SUPERBLOCK_V2, 0x04);
  block.writeUInt32BE(BLOCK_SIZE, 0x0c);
  block.writeUInt32BE(blocks, 0x10);
  // First log block, first sequence number; s_start stays 0: nothing to replay.
  block.writeUInt32BE(1, 0x14);
  block.writeUInt32BE(1, 0x18);
  block.set(uuid, 0x30);
  // One user: this file system.
  block.writeUInt32BE(1, 0x40);
  return block;
}
