// Numbers of the ext4 on-disk format, as the kernel's documentation (filesystems/ext4) names them. All fields are
// little-endian. This file knows values only; layouts live with the code that writes them.

/** The only block size written here: the page size of every guest, and the default of every mkfs. */
export const BLOCK_SIZE = 4096;
/** One bitmap block has a bit for each block of its group, so a group holds 8 x 4096 blocks: 128 MiB. */
export const BLOCKS_PER_GROUP = 8 * BLOCK_SIZE;
/** The most inodes one inode bitmap block can count. */
export const MAX_INODES_PER_GROUP = 8 * BLOCK_SIZE;
/** 256 bytes: room for nanoseconds, times beyond 2038, checksums and 96 bytes of extended attributes. */
export const INODE_SIZE = 256;
export const INODES_PER_BLOCK = BLOCK_SIZE / INODE_SIZE;
/** Bytes of a group descriptor with the `64bit` feature. */
export const DESCRIPTOR_SIZE = 64;
/** 2^4 groups keep their bitmaps and inode tables together (`flex_bg`). */
export const LOG_GROUPS_PER_FLEX = 4;
export const GROUPS_PER_FLEX = 2 ** LOG_GROUPS_PER_FLEX;

/** Inode numbers with a fixed meaning; 1 to 10 are reserved. */
export const ROOT_INODE = 2;
export const RESIZE_INODE = 7;
export const JOURNAL_INODE = 8;
export const FIRST_FREE_INODE = 11;

/**
 * s_feature_*. `64bit` is set although block numbers stay below 2^32 (16 TiB is also the largest file of an ext4 host):
 * only its 64-byte descriptors have room for full 32-bit bitmap checksums, and it is what every distribution's mkfs
 * sets, hence the kernel's best-trodden path. `sparse_super2` leaves one backup instead of a dozen;
 * kernels since 5.17 refuse to grow such a file system, so what is to grow has `resize_inode` in its place.
 */
export const Feature = {
  Compat: { HasJournal: 0x4, ExtAttr: 0x8, ResizeInode: 0x10, DirIndex: 0x20, SparseSuper2: 0x200 },
  Incompat: { FileType: 0x2, Extents: 0x40, Bit64: 0x80, FlexBg: 0x200 },
  RoCompat: {
    SparseSuper: 0x1,
    LargeFile: 0x2,
    HugeFile: 0x8,
    DirNlink: 0x20,
    ExtraIsize: 0x40,
    MetadataCsum: 0x400,
  },
} as const;

/** i_flags. */
export const InodeFlag = { Index: 0x1000, Extents: 0x80000 } as const;

/** bg_flags. */
export const GroupFlag = { InodeUninit: 1, BlockUninit: 2, InodeZeroed: 4 } as const;

/** The file type bits of i_mode. */
export const ModeType = {
  fifo: 0x1000,
  char: 0x2000,
  directory: 0x4000,
  block: 0x6000,
  file: 0x8000,
  symlink: 0xa000,
  socket: 0xc000,
} as const;

/** The file type byte of a directory entry. */
export const EntryType = {
  file: 1,
  directory: 2,
  char: 3,
  block: 4,
  fifo: 5,
  socket: 6,
  symlink: 7,
} as const;

/** EXT4_LINK_MAX: the most names of one inode; a directory beyond it says 1 (`dir_nlink`). */
export const MAX_LINKS = 65_000;
/** Longest name of one directory entry, in bytes. */
export const MAX_NAME = 255;
/** Longest symlink target that path resolution takes (PATH_MAX less its NUL). */
export const MAX_SYMLINK = 4095;
/** A target up to this length lives in the inode itself. */
export const MAX_FAST_SYMLINK = 59;
/** Logical block numbers have 32 bits, and the last is reserved. */
export const MAX_FILE_SIZE = (2 ** 32 - 1) * BLOCK_SIZE;
/** Block numbers below 2^32, and the largest file an ext4 host can hold. */
export const MAX_FS_BLOCKS = 2 ** 32 - BLOCKS_PER_GROUP;

/** Blocks that `bytes` need. */
export function blocksFor(bytes: number): number {
  return Math.ceil(bytes / BLOCK_SIZE);
}
