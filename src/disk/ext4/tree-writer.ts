// Writes a numbered tree: bodies and attributes to free blocks, and one record per inode into the inode tables, in
// order of numbers and hence in one pass over the disk.

import type { BlockWriter } from "./block-writer.js";
import { seedOfInode } from "./checksums.js";
import type { FileData } from "./file-data.js";
import {
  BLOCK_SIZE,
  FIRST_FREE_INODE,
  INODE_SIZE,
  JOURNAL_INODE,
  MAX_LINKS,
  ModeType,
  RESIZE_INODE,
  ROOT_INODE,
} from "./format.js";
import type { Geometry } from "./geometry.js";
import { encodeTime, InodeEncoder, type InodeRecord, type InodeTime } from "./inode.js";
import { type BodyTarget, BodyWriter } from "./inode-body.js";
import { type NumberedInode, type NumberedTree, pathOf } from "./numbering.js";
import { writeResizeInode } from "./resize-inode.js";
import { XattrBlocks } from "./xattr-blocks.js";
import { placeXattrs } from "./xattr-encoding.js";
import { planXattrs } from "./xattr-policy.js";

export interface TreeTarget extends BodyTarget {
  readonly geometry: Geometry;
  /** Of the file system's checksums. */
  readonly seed: number;
  /** ctime and birth of every inode, and all times of the journal. */
  readonly createdNs: bigint;
  /** For inode records: apart from `writer`, so that both streams stay sequential. */
  readonly tableWriter: BlockWriter;
  readonly journal: FileData | undefined;
  onSkippedXattr(warning: string): void;
}

export interface WrittenTree {
  /** Directories in each group's inode table. */
  readonly directories: Uint32Array;
  /** i_block of the journal's inode, which the superblock keeps too. */
  readonly journalRoot: Uint8Array | undefined;
}

/** @throws KilnError of planXattrs, placeXattrs, planIndex and allocate */
export function writeTree(tree: NumberedTree, target: TreeTarget): WrittenTree {
  const records = new RecordWriter(target);
  const inodes = new InodeWriter(tree, target, records);
  let journalRoot: Uint8Array | undefined;
  for (let number = 1; number < FIRST_FREE_INODE; number++) {
    if (number === ROOT_INODE) inodes.write(tree.root);
    else if (number === JOURNAL_INODE && target.journal !== undefined) {
      journalRoot = inodes.writeJournal(target.journal);
    } else if (number === RESIZE_INODE && target.geometry.reservedDescriptorBlocks > 0) inodes.writeResize();
    else records.writeUnused(number);
  }
  for (const node of tree.inodes) inodes.write(node);
  inodes.finish();
  return { directories: inodes.directories, journalRoot };
}

/** Puts records into the inode tables. */
class RecordWriter {
  readonly #target: TreeTarget;
  readonly #encoder = new InodeEncoder();

  constructor(target: TreeTarget) {
    this.#target = target;
  }

  write(number: number, record: InodeRecord, seed: number): void {
    this.#put(number, this.#encoder.encode(record, seed));
  }

  writeUnused(number: number): void {
    this.#put(number, this.#encoder.encodeUnused(seedOfInode(this.#target.seed, number)));
  }

  #put(number: number, bytes: Uint8Array): void {
    const { geometry, tableWriter } = this.#target;
    const group = Math.floor((number - 1) / geometry.inodesPerGroup);
    const index = (number - 1) % geometry.inodesPerGroup;
    const table = geometry.groups[group]?.inodeTable ?? 0;
    tableWriter.write(table * BLOCK_SIZE + index * INODE_SIZE, bytes);
  }
}

/** Makes records of inodes and writes what belongs to them. */
class InodeWriter {
  readonly directories: Uint32Array;
  readonly #tree: NumberedTree;
  readonly #target: TreeTarget;
  readonly #records: RecordWriter;
  readonly #bodies: BodyWriter;
  readonly #xattrs: XattrBlocks;
  readonly #created: InodeTime;

  constructor(tree: NumberedTree, target: TreeTarget, records: RecordWriter) {
    this.#tree = tree;
    this.#target = target;
    this.#records = records;
    this.#bodies = new BodyWriter(target);
    this.#xattrs = new XattrBlocks(target.seed, {
      allocate: () => target.allocate(1).start,
      write: (block, content) => target.writer.write(block * BLOCK_SIZE, content),
    });
    this.#created = encodeTime(target.createdNs);
    this.directories = new Uint32Array(target.geometry.groupCount);
  }

  write(node: NumberedInode): void {
    const { inode, number } = node;
    const where = () => pathOf(this.#tree, node);
    const seed = seedOfInode(this.#target.seed, number);
    const xattrs = planXattrs(inode, where, this.#target.onSkippedXattr);
    const placed = placeXattrs(xattrs.list, where);
    const xattrBlock = placed.block === undefined ? 0 : this.#xattrs.place(placed.block);
    const body = this.#bodies.write(node, seed);
    // Spelled out field by field: spreading `body` here cost more than all the rest of finish.
    const record = {
      size: body.size,
      blocks: body.blocks + (xattrBlock === 0 ? 0 : 1),
      flags: body.flags,
      block: body.block,
      mode: ModeType[inode.type] | (inode.mode & 0o7000) | (xattrs.permissions ?? inode.mode & 0o777),
      uid: inode.uid,
      gid: inode.gid,
      // A directory with more subdirectories than a link count can say has the count 1 ("unknown").
      links: node.links > MAX_LINKS ? 1 : node.links,
      modified: encodeTime(inode.mtimeNs),
      created: this.#created,
      xattrBlock,
      inlineXattrs: placed.inline,
    };
    this.#records.write(number, record, seed);
    if (inode.type === "directory") this.#countDirectory(number);
  }

  /** Returns its i_block. */
  writeJournal(data: FileData): Uint8Array {
    const seed = seedOfInode(this.#target.seed, JOURNAL_INODE);
    const body = this.#bodies.mapped(data, seed);
    const times = { modified: this.#created, created: this.#created };
    const owner = { uid: 0, gid: 0, links: 1, mode: ModeType.file | 0o600 };
    this.#records.write(
      JOURNAL_INODE,
      { ...body, ...times, ...owner, xattrBlock: 0, inlineXattrs: undefined },
      seed,
    );
    return Buffer.from(body.block);
  }

  writeResize(): void {
    const { geometry, allocate, seed, writer } = this.#target;
    const record = writeResizeInode({
      geometry,
      created: this.#created,
      allocateBlock: () => allocate(1).start,
      write: (block, content) => writer.write(block * BLOCK_SIZE, content),
    });
    this.#records.write(RESIZE_INODE, record, seedOfInode(seed, RESIZE_INODE));
  }

  /** Completes what several inodes share. */
  finish(): void {
    this.#xattrs.finish();
  }

  #countDirectory(number: number): void {
    const group = Math.floor((number - 1) / this.#target.geometry.inodesPerGroup);
    this.directories[group] = (this.directories[group] ?? 0) + 1;
  }
}
