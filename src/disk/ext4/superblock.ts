// The superblock (filesystems/ext4, "Super Block"): what the file system is, and how much of it is used.

import { checksumOfSuperblock } from "./checksums.js";
import { ROOT_SIZE } from "./extents.js";
import {
  BLOCKS_PER_GROUP,
  DESCRIPTOR_SIZE,
  Feature,
  FIRST_FREE_INODE,
  INODE_SIZE,
  JOURNAL_INODE,
  LOG_GROUPS_PER_FLEX,
} from "./format.js";
import type { Geometry } from "./geometry.js";
import type { Identity } from "./identity.js";
import { EXTRA_SIZE } from "./inode.js";
import { HALF_MD4 } from "./name-hash.js";

const SUPERBLOCK_SIZE = 1024;
/** Where the first one begins, in bytes; a backup begins its group. */
export const SUPERBLOCK_OFFSET = 1024;

export interface SuperblockFacts {
  readonly geometry: Geometry;
  readonly identity: Identity;
  /** Up to 16 bytes. */
  readonly label: string;
  readonly createdSeconds: number;
  readonly freeBlocks: number;
  readonly freeInodes: number;
  /** The journal inode's i_block, kept twice so that e2fsck can bring it back; undefined without journal. */
  readonly journalRoot: Uint8Array | undefined;
  readonly journalBytes: number;
}

const MAGIC = 0xef53;
const STATE_CLEAN = 1;
/** After an I/O error the kernel makes the file system read-only instead of writing on. */
const ERRORS_READ_ONLY = 2;
const DYNAMIC_REVISION = 1;
const LOG_BLOCK_SIZE = 2;
const NO_MOUNT_LIMIT = 0xffff;
/** Mount options user_xattr and acl. */
const DEFAULT_MOUNT_OPTIONS = 0x4 | 0x8;
/** Name hashes take bytes as unsigned. */
const FLAG_UNSIGNED_HASH = 0x2;
const CRC32C = 1;
const CHECKSUM_AT = 0x3fc;

/** @param group the group this copy lies in */
export function encodeSuperblock(facts: SuperblockFacts, group: number): Buffer {
  const block = Buffer.alloc(SUPERBLOCK_SIZE);
  encodeCounts(block, facts);
  encodeState(block, facts);
  encodeFeatures(block, facts, group);
  block.set(facts.identity.uuid, 0x68);
  block.write(facts.label, 0x78, 16, "utf8");
  facts.identity.hashSeed.forEach((word, index) => {
    block.writeUInt32LE(word, 0xec + 4 * index);
  });
  if (facts.journalRoot !== undefined) encodeJournalPlace(block, facts.journalRoot, facts.journalBytes);
  block.writeUInt32LE(checksumOfSuperblock(block.subarray(0, CHECKSUM_AT)), CHECKSUM_AT);
  return block;
}

function encodeCounts(block: Buffer, { geometry, freeBlocks, freeInodes }: SuperblockFacts): void {
  block.writeUInt32LE(geometry.inodesPerGroup * geometry.groupCount, 0x00);
  block.writeUInt32LE(geometry.blocks, 0x04);
  block.writeUInt32LE(freeBlocks, 0x0c);
  block.writeUInt32LE(freeInodes, 0x10);
  block.writeUInt32LE(LOG_BLOCK_SIZE, 0x18);
  block.writeUInt32LE(LOG_BLOCK_SIZE, 0x1c);
  block.writeUInt32LE(BLOCKS_PER_GROUP, 0x20);
  block.writeUInt32LE(BLOCKS_PER_GROUP, 0x24);
  block.writeUInt32LE(geometry.inodesPerGroup, 0x28);
}

/** Never mounted, never checked: the times of both stay 0, so no clock can find them in its future. */
function encodeState(block: Buffer, { createdSeconds }: SuperblockFacts): void {
  block.writeUInt16LE(NO_MOUNT_LIMIT, 0x36);
  block.writeUInt16LE(MAGIC, 0x38);
  block.writeUInt16LE(STATE_CLEAN, 0x3a);
  block.writeUInt16LE(ERRORS_READ_ONLY, 0x3c);
  block.writeUInt32LE(DYNAMIC_REVISION, 0x4c);
  block.writeUInt32LE(DEFAULT_MOUNT_OPTIONS, 0x100);
  block.writeUInt32LE(createdSeconds >>> 0, 0x108);
  block.writeUInt8(Math.floor(createdSeconds / 2 ** 32) & 0xff, 0x276);
}

function encodeFeatures(block: Buffer, { geometry, journalRoot }: SuperblockFacts, group: number): void {
  const { Compat, Incompat, RoCompat } = Feature;
  const journal = journalRoot === undefined ? 0 : Compat.HasJournal;
  const { reservedDescriptorBlocks, backupGroups } = geometry;
  const growth = reservedDescriptorBlocks > 0 ? Compat.ResizeInode : Compat.SparseSuper2;
  block.writeUInt32LE(FIRST_FREE_INODE, 0x54);
  block.writeUInt16LE(INODE_SIZE, 0x58);
  block.writeUInt16LE(group, 0x5a);
  block.writeUInt32LE(journal | Compat.ExtAttr | Compat.DirIndex | growth, 0x5c);
  block.writeUInt32LE(Incompat.FileType | Incompat.Extents | Incompat.Bit64 | Incompat.FlexBg, 0x60);
  block.writeUInt32LE(
    Object.values(RoCompat).reduce((all, feature) => all | feature, 0),
    0x64,
  );
  block.writeUInt8(HALF_MD4, 0xfc);
  block.writeUInt16LE(DESCRIPTOR_SIZE, 0xfe);
  block.writeUInt16LE(EXTRA_SIZE, 0x15c);
  block.writeUInt16LE(EXTRA_SIZE, 0x15e);
  block.writeUInt32LE(FLAG_UNSIGNED_HASH, 0x160);
  block.writeUInt8(LOG_GROUPS_PER_FLEX, 0x174);
  block.writeUInt8(CRC32C, 0x175);
  if (reservedDescriptorBlocks > 0) block.writeUInt16LE(reservedDescriptorBlocks, 0xce);
  else block.writeUInt32LE(backupGroups[0] ?? 0, 0x24c);
}

function encodeJournalPlace(block: Buffer, root: Uint8Array, bytes: number): void {
  block.writeUInt32LE(JOURNAL_INODE, 0xe0);
  block.writeUInt8(1, 0xfd);
  block.set(root.subarray(0, ROOT_SIZE), 0x10c);
  block.writeUInt32LE(Math.floor(bytes / 2 ** 32), 0x10c + ROOT_SIZE);
  block.writeUInt32LE(bytes >>> 0, 0x10c + ROOT_SIZE + 4);
}
