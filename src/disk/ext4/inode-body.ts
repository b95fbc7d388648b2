// What an inode owns beside its record: the extent tree of a file, the blocks of a directory, a long symlink's target.

import type { Inode } from "../../base/tree.js";
import type { BlockWriter } from "./block-writer.js";
import { type DirectoryEntry, ENTRY_SPACE, encodeDirectoryBlock, entrySize } from "./directory.js";
import { ROOT_SIZE, writeExtentTree } from "./extents.js";
import { appendRun, FileData, type Run } from "./file-data.js";
import { BLOCK_SIZE, EntryType, InodeFlag, MAX_FAST_SYMLINK } from "./format.js";
import { encodeIndexedDirectory, planIndex } from "./indexed-directory.js";
import { encodeDevice } from "./inode.js";
import type { BlockRange } from "./metadata-layout.js";
import type { HashSeed } from "./name-hash.js";
import type { NumberedInode } from "./numbering.js";

/** The fields of a record that depend on the kind of inode. */
export interface InodeBody {
  readonly size: number;
  /** Blocks owned, tree nodes included. */
  readonly blocks: number;
  readonly flags: number;
  /** i_block; valid until the next body is written. */
  readonly block: Uint8Array;
}

export interface BodyTarget {
  readonly writer: BlockWriter;
  readonly hashSeed: HashSeed;
  /** At least one and at most `want` blocks together; throws KilnError `disk-too-small`. */
  allocate(want: number): BlockRange;
}

/** Writes the blocks of inodes other than file data, which is in place already. */
export class BodyWriter {
  readonly #target: BodyTarget;
  readonly #block = Buffer.alloc(BLOCK_SIZE);
  /** One for all inodes: a buffer each was a quarter of the time of finish. */
  readonly #root = Buffer.alloc(ROOT_SIZE);
  readonly #nodes = {
    allocate: () => this.#target.allocate(1).start,
    write: (block: number, content: Uint8Array) => this.#target.writer.write(block * BLOCK_SIZE, content),
  };

  constructor(target: BodyTarget) {
    this.#target = target;
  }

  /** @param seed of the inode's checksums */
  write(node: NumberedInode, seed: number): InodeBody {
    const inode: Inode = node.inode;
    switch (inode.type) {
      case "file":
        return this.mapped(inode.data as FileData, seed);
      case "directory":
        return this.#directory(node, seed);
      case "symlink":
        return this.#symlink(inode.target, seed);
      case "char":
      case "block":
        return { size: 0, blocks: 0, flags: 0, block: encodeDevice(inode.major, inode.minor) };
      case "fifo":
      case "socket":
        return { size: 0, blocks: 0, flags: 0, block: this.#root.fill(0) };
    }
  }

  /** The body of an inode whose data lies in extents. */
  mapped(data: FileData, seed: number): InodeBody {
    const block = this.#root.fill(0);
    const nodes = writeExtentTree(data.runs, block, seed, this.#nodes);
    return { size: data.size, blocks: data.blocks + nodes, flags: InodeFlag.Extents, block };
  }

  #symlink(target: string, seed: number): InodeBody {
    if (target.length <= MAX_FAST_SYMLINK) {
      this.#root.fill(0).write(target, "latin1");
      return { size: target.length, blocks: 0, flags: 0, block: this.#root };
    }
    this.#block.fill(0).write(target, "latin1");
    const runs = this.#allocateRuns(1);
    this.#target.writer.write((runs[0]?.physical ?? 0) * BLOCK_SIZE, this.#block);
    return this.mapped(new FileData(target.length, runs), seed);
  }

  #directory(node: NumberedInode, seed: number): InodeBody {
    const used = node.entries.reduce((sum, entry) => sum + entrySize(entry.name), 2 * entrySize("."));
    if (used > ENTRY_SPACE) return this.#indexedDirectory(node, seed);
    encodeDirectoryBlock(this.#block, withDots(node), seed);
    const runs = this.#allocateRuns(1);
    this.#target.writer.write((runs[0]?.physical ?? 0) * BLOCK_SIZE, this.#block);
    return this.mapped(new FileData(BLOCK_SIZE, runs), seed);
  }

  #indexedDirectory(node: NumberedInode, seed: number): InodeBody {
    const plan = planIndex(node.entries, this.#target.hashSeed);
    const runs = this.#allocateRuns(plan.blocks);
    const places = blocksOf(runs);
    encodeIndexedDirectory(plan, { inode: node.number, parent: node.parent }, seed, (block) => {
      this.#target.writer.write((places.next().value ?? 0) * BLOCK_SIZE, block);
    });
    const body = this.mapped(new FileData(plan.blocks * BLOCK_SIZE, runs), seed);
    return { ...body, flags: body.flags | InodeFlag.Index };
  }

  #allocateRuns(blocks: number): Run[] {
    const runs: Run[] = [];
    for (let logical = 0; logical < blocks; ) {
      const { start, count } = this.#target.allocate(blocks - logical);
      appendRun(runs, { logical, physical: start, count });
      logical += count;
    }
    return runs;
  }
}

function withDots(node: NumberedInode): DirectoryEntry[] {
  const type = EntryType.directory;
  return [{ name: ".", inode: node.number, type }, { name: "..", inode: node.parent, type }, ...node.entries];
}

function* blocksOf(runs: readonly Run[]): Generator<number, undefined> {
  for (const { physical, count } of runs) for (let i = 0; i < count; i++) yield physical + i;
  return undefined;
}
