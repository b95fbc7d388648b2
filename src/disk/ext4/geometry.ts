// Where the fixed metadata of an ext4 image lies: superblock, descriptors, bitmaps, inode tables, and what is left
// for data. A pure function of the image's size, because data is placed before the number of files is known.

import { Code, KilnError } from "../../base/errors.js";
import { formatMemory } from "../../base/units.js";
import { diskTooSmall } from "./disk-too-small.js";
import {
  BLOCK_SIZE,
  BLOCKS_PER_GROUP,
  blocksFor,
  DESCRIPTOR_SIZE,
  GROUPS_PER_FLEX,
  INODES_PER_BLOCK,
  MAX_FS_BLOCKS,
  MAX_INODES_PER_GROUP,
} from "./format.js";
import { type BlockRange, layOutMetadata, type MetadataLayout, type Shape } from "./metadata-layout.js";
import { reservedDescriptorBlocks, sparseGroups } from "./resize-inode.js";

export interface GeometryOptions {
  /** Size of the image file; a multiple of 4096. */
  readonly sizeBytes: number;
  /** Room for at least so many inodes; default one per 4, 8, 16 or 32 KiB, growing with the size. */
  readonly inodes?: number | undefined;
  /** Default true. A disk that is only ever mounted read-only needs none. */
  readonly journal?: boolean | undefined;
  /** It can grow while it is mounted. Default false. */
  readonly growable?: boolean | undefined;
}

/** The image's shape and where its metadata lies. */
export interface Geometry extends Shape, MetadataLayout {
  readonly journalBlocks: number;
}

const MIN_BLOCKS = 64;
const MIN_BLOCKS_WITH_JOURNAL = 2048;
/** Fewer blocks than these are not worth a block group. */
const MIN_LAST_GROUP = 50;
/** The root directory, lost+found, and a little more. */
const MIN_DATA_BLOCKS = 4;
/** 64 MiB of journal: more only delays recovery. */
const MAX_JOURNAL_BLOCKS = 16_384;
const KIB = 1024;
const GIB = KIB ** 3;

/**
 * @throws KilnError invalid_argument `bad-disk-size` for a size that can't be a disk; resource_exhausted
 *   `disk-too-small` where the metadata alone does not fit
 */
export function planGeometry(options: GeometryOptions): Geometry {
  const wanted = checkedBlocks(options);
  const shape = shapeFor(wanted, options);
  const layout = layOutMetadata(shape);
  const journalBlocks = options.journal === false ? 0 : journalBlocksFor(shape.blocks);
  const needed = shape.blocks - sumOf(layout.dataRanges) + journalBlocks + MIN_DATA_BLOCKS;
  if (needed > shape.blocks) throw tooSmall(options.sizeBytes, needed * BLOCK_SIZE);
  return { ...shape, ...layout, journalBlocks };
}

function checkedBlocks(options: GeometryOptions): number {
  const { sizeBytes } = options;
  const blocks = sizeBytes / BLOCK_SIZE;
  if (!Number.isInteger(blocks) || blocks > MAX_FS_BLOCKS) {
    throw new KilnError(Code.InvalidArgument, `a disk of ${sizeBytes} bytes can't be made`, {
      reason: "bad-disk-size",
      hint: `choose a multiple of ${BLOCK_SIZE} of at most ${formatMemory(MAX_FS_BLOCKS * BLOCK_SIZE)}`,
    });
  }
  const least = options.journal === false ? MIN_BLOCKS : MIN_BLOCKS_WITH_JOURNAL;
  if (blocks < least) throw tooSmall(sizeBytes, least * BLOCK_SIZE);
  return blocks;
}

function tooSmall(sizeBytes: number, neededBytes: number): KilnError {
  return diskTooSmall(sizeBytes, neededBytes, "a file system");
}

function shapeFor(wanted: number, options: GeometryOptions): Shape {
  const groupCount = Math.ceil(wanted / BLOCKS_PER_GROUP);
  const shape = shapeOfGroups(wanted, groupCount, options);
  const last = wanted - (groupCount - 1) * BLOCKS_PER_GROUP;
  const flexHead = (groupCount - 1) % GROUPS_PER_FLEX === 0;
  const hasSuperblock = groupCount === 1 || shape.backupGroups.includes(groupCount - 1);
  const copy = 1 + shape.descriptorBlocks + shape.reservedDescriptorBlocks;
  const own = (flexHead ? 2 + shape.inodeTableBlocks : 0) + (hasSuperblock ? copy : 0);
  if (last >= own + MIN_LAST_GROUP) return shape;
  // The tail would hold little but its own tables: leave it out, as mkfs does.
  if (groupCount === 1) throw tooSmall(wanted * BLOCK_SIZE, (own + MIN_LAST_GROUP) * BLOCK_SIZE);
  return shapeOfGroups((groupCount - 1) * BLOCKS_PER_GROUP, groupCount - 1, options);
}

function shapeOfGroups(blocks: number, groupCount: number, options: GeometryOptions): Shape {
  const inodes = options.inodes ?? Math.ceil((blocks * BLOCK_SIZE) / bytesPerInode(blocks * BLOCK_SIZE));
  const most = groupCount * MAX_INODES_PER_GROUP;
  if (inodes > most) {
    throw diskTooSmall(options.sizeBytes, Math.ceil((options.sizeBytes * inodes) / most), `${inodes} inodes`);
  }
  const tableBlocks = Math.max(1, Math.ceil(inodes / groupCount / INODES_PER_BLOCK));
  return {
    blocks,
    groupCount,
    inodesPerGroup: tableBlocks * INODES_PER_BLOCK,
    inodeTableBlocks: tableBlocks,
    descriptorBlocks: blocksFor(groupCount * DESCRIPTOR_SIZE),
    ...growthOf(groupCount, options.growable === true),
  };
}

/** The kernel refuses to grow what has its backups where only `sparse_super2` says. */
function growthOf(
  groupCount: number,
  growable: boolean,
): Pick<Shape, "reservedDescriptorBlocks" | "backupGroups"> {
  if (!growable) return { reservedDescriptorBlocks: 0, backupGroups: groupCount > 1 ? [1] : [] };
  return {
    reservedDescriptorBlocks: reservedDescriptorBlocks(groupCount),
    backupGroups: sparseGroups(groupCount),
  };
}

function sumOf(ranges: readonly BlockRange[]): number {
  return ranges.reduce((sum, range) => sum + range.count, 0);
}

/** Small disks hold small files; unused inode tables are holes, so the price is only space offered to the guest. */
function bytesPerInode(sizeBytes: number): number {
  if (sizeBytes < GIB / 2) return 4 * KIB;
  if (sizeBytes <= 16 * GIB) return 8 * KIB;
  return sizeBytes <= 4096 * GIB ? 16 * KIB : 32 * KIB;
}

/** The kernel refuses journals below 1024 blocks; the steps are mkfs's. */
function journalBlocksFor(blocks: number): number {
  if (blocks < BLOCKS_PER_GROUP) return 1024;
  if (blocks < 256 * KIB) return 4096;
  return blocks < 512 * KIB ? 8192 : MAX_JOURNAL_BLOCKS;
}
