// The ext4 writer as a file sink (base/tree.ts): owns the image file from its creation to its sync, and the order of
// things: data as it comes, then the tree, then bitmaps and descriptors, the superblock last.

import { type FileHandle, open, rm } from "node:fs/promises";
import { Code, KilnError } from "../../base/errors.js";
import type { DataRef, DirectoryInode, FileSink, FileWriter, SinkResult } from "../../base/tree.js";
import { UndoStack } from "../../base/undo.js";
import { formatMemory } from "../../base/units.js";
import { BlockAllocator } from "./allocator.js";
import { writeBlockGroups } from "./block-groups.js";
import { BlockWriter } from "./block-writer.js";
import { seedOfFileSystem } from "./checksums.js";
import { diskTooSmall } from "./disk-too-small.js";
import { FileData, ImageFileWriter } from "./file-data.js";
import { BLOCK_SIZE, BLOCKS_PER_GROUP, FIRST_FREE_INODE, MAX_FILE_SIZE } from "./format.js";
import { type Geometry, planGeometry } from "./geometry.js";
import { type Identity, identityOf } from "./identity.js";
import { encodeJournalSuperblock } from "./journal.js";
import type { BlockRange } from "./metadata-layout.js";
import { type NumberedTree, numberTree } from "./numbering.js";
import { encodeSuperblock, SUPERBLOCK_OFFSET } from "./superblock.js";
import { writeTree } from "./tree-writer.js";

export interface Ext4Options {
  /** Size of the image file, which stays sparse; a multiple of 4096. */
  readonly sizeBytes: number;
  /** What UUID and hash seed derive from, for example an image's digest: equal input gives equal bytes. */
  readonly identity: string;
  /** Volume label of up to 16 bytes. */
  readonly label?: string | undefined;
  /** Time of what the tree does not bring: lost+found, the journal, every inode's ctime and birth. */
  readonly mtimeNs: bigint;
  /** Room for at least so many inodes; default by size, one per 4 to 32 KiB. */
  readonly inodes?: number;
  /** false for a disk that is only ever mounted read-only. Default true. */
  readonly journal?: boolean;
  /** It can grow while it is mounted. Default false. */
  readonly growable?: boolean;
  /** false: the caller can do without the image surviving a power cut right after finish. Default true. */
  readonly sync?: boolean;
}

/** Warnings beyond these say nothing new. */
const MAX_WARNINGS = 100;
const MAX_LABEL = 16;

/**
 * Creates the image file (mode 0600; it must not exist) and a sink that fills it. On failure and after `abort` the
 * caller removes the file; it writes to a temporary name, so a kill leaves nothing that counts.
 *
 * @throws KilnError invalid_argument `bad-disk-size`, `bad-label`; resource_exhausted `disk-too-small`;
 *   already_exists `file-exists`; or what else the host says
 */
export async function createExt4Sink(path: string, options: Ext4Options): Promise<FileSink> {
  if (Buffer.byteLength(options.label ?? "") > MAX_LABEL) {
    throw new KilnError(Code.InvalidArgument, `the label "${options.label}" is too long`, {
      reason: "bad-label",
      hint: `a label has at most ${MAX_LABEL} bytes`,
    });
  }
  const geometry = planGeometry(options);
  await using undo = new UndoStack();
  try {
    const file = await open(path, "wx+", 0o600);
    undo.push("remove the disk image", () => rm(path, { force: true }));
    undo.push("close the disk image", () => file.close());
    await file.truncate(options.sizeBytes);
    const sink = new Ext4Sink(path, file, geometry, options);
    undo.commit();
    return sink;
  } catch (error) {
    throw KilnError.from(error, `create disk image ${path}`);
  }
}

type State = "open" | "writing a file" | "finished" | "aborted";

class Ext4Sink implements FileSink {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #geometry: Geometry;
  readonly #options: Ext4Options;
  readonly #identity: Identity;
  readonly #seed: number;
  readonly #allocator: BlockAllocator;
  readonly #writer: BlockWriter;
  readonly #journal: FileData | undefined;
  /** Data that was neither freed nor, in finish, found in the tree. */
  readonly #live = new Set<DataRef>();
  readonly #warnings: string[] = [];
  #state: State = "open";

  constructor(path: string, file: FileHandle, geometry: Geometry, options: Ext4Options) {
    this.#path = path;
    this.#file = file;
    this.#geometry = geometry;
    this.#options = options;
    this.#identity = identityOf(options.identity);
    this.#seed = seedOfFileSystem(this.#identity.uuid);
    this.#allocator = new BlockAllocator(geometry.dataRanges);
    this.#writer = new BlockWriter(file, path);
    this.#journal = this.#reserveJournal();
  }

  createFile(size: number): FileWriter {
    this.#expectOpen("begin a file");
    if (!Number.isInteger(size) || size < 0 || size > MAX_FILE_SIZE) {
      throw new KilnError(Code.InvalidArgument, `a file of ${size} bytes can't be written to an ext4 disk`, {
        reason: "file-too-large",
        hint: `files have at most ${formatMemory(MAX_FILE_SIZE)}`,
      });
    }
    this.#state = "writing a file";
    return new ImageFileWriter(size, {
      writer: this.#writer,
      allocate: this.#allocate,
      release: (range) => this.#allocator.release(range),
      closed: (data) => {
        this.#state = "open";
        this.#live.add(data);
      },
    });
  }

  free(data: DataRef): void {
    // Also while a file is being written: it may be the one that replaces this.
    if (this.#state !== "writing a file") this.#expectOpen("free a file");
    this.#release(this.#claim(data));
  }

  async finish(root: DirectoryInode): Promise<SinkResult> {
    this.#expectOpen("finish");
    this.#state = "finished";
    try {
      const dataSynced = this.#startSync();
      // Not awaited where the tree can't be made: it must not count as unhandled then.
      dataSynced.catch(() => undefined);
      const result = this.#complete(root);
      await dataSynced;
      if (this.#options.sync !== false) await this.#file.datasync();
      return result;
    } catch (error) {
      throw KilnError.from(error, `write disk image ${this.#path}`);
    } finally {
      await this.#file.close();
    }
  }

  async abort(): Promise<void> {
    if (this.#state === "finished" || this.#state === "aborted") return;
    this.#state = "aborted";
    await this.#file.close();
  }

  /** The files' data, nearly all there is, goes to the host's disk while this thread makes the tree. */
  async #startSync(): Promise<void> {
    if (this.#options.sync === false) return;
    this.#writer.flush();
    await this.#file.datasync();
  }

  #complete(root: DirectoryInode): SinkResult {
    const tree = numberTree(root, this.#lostAndFound());
    const dataBlocks = this.#claimTree(tree);
    // What the merge forgot would be blocks that belong to nobody.
    for (const data of this.#live) this.#release(this.#claim(data));
    const lastInode = FIRST_FREE_INODE - 1 + tree.inodes.length;
    this.#checkInodes(lastInode);
    const tableWriter = new BlockWriter(this.#file, this.#path);
    const written = writeTree(tree, {
      geometry: this.#geometry,
      hashSeed: this.#identity.hashSeed,
      seed: this.#seed,
      createdNs: this.#options.mtimeNs,
      writer: this.#writer,
      tableWriter,
      journal: this.#journal,
      allocate: this.#allocate,
      onSkippedXattr: (warning) => {
        if (this.#warnings.length < MAX_WARNINGS) this.#warnings.push(warning);
      },
    });
    tableWriter.flush();
    this.#writeFileSystem(lastInode, written.directories, written.journalRoot);
    return {
      sizeBytes: this.#options.sizeBytes,
      inodes: tree.inodes.length + 1,
      dataBytes: dataBlocks * BLOCK_SIZE,
      warnings: this.#warnings,
    };
  }

  /** Journal superblock, bitmaps, descriptors, superblocks. */
  #writeFileSystem(lastInode: number, directories: Uint32Array, journalRoot: Uint8Array | undefined): void {
    const geometry = this.#geometry;
    const journal = this.#journal?.runs[0];
    if (journal !== undefined) {
      const content = encodeJournalSuperblock(journal.count, this.#identity.uuid);
      this.#writer.write(journal.physical * BLOCK_SIZE, content);
    }
    const freeRanges = this.#allocator.freeRanges();
    const descriptors = writeBlockGroups(
      geometry,
      { freeRanges, lastInode, directories },
      this.#seed,
      (block, content) => this.#writer.write(block * BLOCK_SIZE, content),
    );
    const facts = {
      geometry,
      identity: this.#identity,
      label: this.#options.label ?? "",
      createdSeconds: Math.max(0, Math.floor(Number(this.#options.mtimeNs / 1_000_000_000n))),
      freeBlocks: this.#allocator.free,
      freeInodes: geometry.inodesPerGroup * geometry.groupCount - lastInode,
      journalRoot,
      journalBytes: this.#journal?.size ?? 0,
    };
    for (const group of geometry.backupGroups) {
      const backup = group * BLOCKS_PER_GROUP * BLOCK_SIZE;
      this.#writer.write(backup, encodeSuperblock(facts, group));
      this.#writer.write(backup + BLOCK_SIZE, descriptors);
    }
    this.#writer.write(BLOCK_SIZE, descriptors);
    this.#writer.write(SUPERBLOCK_OFFSET, encodeSuperblock(facts, 0));
    this.#writer.flush();
  }

  /** The journal comes first, so it lies in one piece and on blocks that were never written: all its blocks are holes. */
  #reserveJournal(): FileData | undefined {
    const blocks = this.#geometry.journalBlocks;
    if (blocks === 0) return undefined;
    const { start, count } = this.#allocate(blocks);
    if (count < blocks) throw this.#tooSmall(blocks - count);
    return new FileData(blocks * BLOCK_SIZE, [{ logical: 0, physical: start, count }]);
  }

  /** Takes every file of the tree from the live ones; returns their blocks. */
  #claimTree(tree: NumberedTree): number {
    let blocks = 0;
    for (const { inode } of tree.inodes) if (inode.type === "file") blocks += this.#claim(inode.data).blocks;
    return blocks;
  }

  #claim(data: DataRef): FileData {
    // Deleting tells all misuse: data of another sink, freed data, data of two inodes.
    if (data instanceof FileData && this.#live.delete(data)) return data;
    throw new KilnError(
      Code.Internal,
      `data of ${data.size} bytes is not, or no more, in disk image ${this.#path}`,
      {
        reason: "unknown-data",
      },
    );
  }

  #release(data: FileData): void {
    for (const { physical, count } of data.runs) this.#allocator.release({ start: physical, count });
  }

  readonly #allocate = (want: number): BlockRange => {
    const range = this.#allocator.take(want);
    if (range === undefined) throw this.#tooSmall(want);
    return range;
  };

  #tooSmall(missingBlocks: number): KilnError {
    const { sizeBytes } = this.#options;
    return diskTooSmall(sizeBytes, sizeBytes + missingBlocks * BLOCK_SIZE, "its files");
  }

  #checkInodes(last: number): void {
    const most = this.#geometry.inodesPerGroup * this.#geometry.groupCount;
    if (last <= most) return;
    const { sizeBytes } = this.#options;
    throw diskTooSmall(
      sizeBytes,
      Math.ceil(((sizeBytes / most) * last) / 2 ** 20) * 2 ** 20,
      `${last} inodes`,
    );
  }

  #lostAndFound(): DirectoryInode {
    const mtimeNs = this.#options.mtimeNs;
    return { type: "directory", entries: new Map(), mode: 0o700, uid: 0, gid: 0, mtimeNs };
  }

  #expectOpen(what: string): void {
    if (this.#state === "open") return;
    throw new KilnError(Code.Internal, `${what} in disk image ${this.#path}: it is ${this.#state}`, {
      reason: "sink-misused",
    });
  }
}
