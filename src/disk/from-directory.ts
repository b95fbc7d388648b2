// A read-only disk made of a directory of the host, such as a kernel's /lib/modules/<release>: as small as its
// content allows, and the same bytes for the same content.

import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { KilnError } from "../base/errors.js";
import { syncDirectory, tempNameFor } from "../base/files.js";
import type { DataRef, FileSink, SinkResult } from "../base/tree.js";
import { UndoStack } from "../base/undo.js";
import { BLOCK_SIZE } from "./ext4/format.js";
import { planGeometry } from "./ext4/geometry.js";
import { createExt4Sink } from "./ext4/sink.js";
import { type SourceFile, type SourceTree, scanDirectory } from "./source-tree.js";

export interface DirectoryDiskOptions {
  /** What UUID and hash seed derive from, for example the digest of the package the directory came from. */
  readonly identity: string;
  /** Volume label of up to 16 bytes. */
  readonly label?: string;
  /** Time of every file; default 1970. */
  readonly mtimeNs?: bigint;
  /** false: no fsync. Default true. */
  readonly sync?: boolean;
  readonly signal?: AbortSignal;
}

const MIB = 1024 * 1024;
const READ_SIZE = MIB;
/** Extent tree nodes, lost+found, and files that grew a little while they were copied. */
const SPARE_BLOCKS = 64;

/**
 * Writes the content of `source` as an ext4 image without journal to `path`, replacing what is there in one step.
 * Owners become root, modes 0644 or 0755; extended attributes and hard links are not kept.
 *
 * @throws KilnError not_found, `unsupported-file-type`, `file-truncated` (changed while read), `host-disk-full`
 */
export async function buildDiskFromDirectory(
  source: string,
  path: string,
  options: DirectoryDiskOptions,
): Promise<SinkResult> {
  try {
    const tree = await scanDirectory(source, options.mtimeNs ?? 0n);
    const temp = tempNameFor(path);
    await using undo = new UndoStack();
    undo.push("remove the unfinished disk", () => rm(temp, { force: true }));
    const result = await writeDisk(tree, temp, options);
    await rename(temp, path);
    undo.commit();
    if (options.sync !== false) await syncDirectory(dirname(path));
    return result;
  } catch (error) {
    throw KilnError.from(error, `make a disk of directory ${source}`);
  }
}

/** The smallest size, in MiB, whose data area takes `blocks` beside tables for `inodes`, with some to spare. */
export function planDiskSize(blocks: number, inodes: number): number {
  const wanted = Math.ceil(blocks * 1.01) + SPARE_BLOCKS;
  for (let sizeBytes = Math.ceil((wanted * BLOCK_SIZE) / MIB) * MIB; ; ) {
    const missing = wanted - dataBlocksOf(sizeBytes, inodes);
    if (missing <= 0) return sizeBytes;
    sizeBytes += Math.ceil((missing * BLOCK_SIZE) / MIB) * MIB;
  }
}

function dataBlocksOf(sizeBytes: number, inodes: number): number {
  try {
    const { dataRanges } = planGeometry({ sizeBytes, inodes, journal: false });
    return dataRanges.reduce((sum, range) => sum + range.count, 0);
  } catch (error) {
    // So many inodes that their tables alone do not fit yet.
    if (error instanceof KilnError && error.reason === "disk-too-small") return 0;
    throw error;
  }
}

async function writeDisk(tree: SourceTree, path: string, options: DirectoryDiskOptions): Promise<SinkResult> {
  // Reserved inodes and lost+found come on top.
  const inodes = tree.inodes + 16;
  const sink = await createExt4Sink(path, {
    sizeBytes: planDiskSize(tree.blocks, inodes),
    inodes,
    journal: false,
    identity: options.identity,
    mtimeNs: options.mtimeNs ?? 0n,
    sync: options.sync ?? true,
    label: options.label,
  });
  try {
    const buffer = Buffer.allocUnsafe(READ_SIZE);
    for (const file of tree.files) {
      options.signal?.throwIfAborted();
      const data = await copyFile(file, sink, buffer);
      const mode = file.executable ? 0o755 : 0o644;
      const { uid, gid, mtimeNs } = tree.root;
      file.parent.entries.set(file.name, { type: "file", data, links: 1, mode, uid, gid, mtimeNs });
    }
    return await sink.finish(tree.root);
  } finally {
    await sink.abort();
  }
}

/** Copies as many bytes as the file had when it was scanned; `close` notices when there are fewer by now. */
async function copyFile(file: SourceFile, sink: FileSink, buffer: Buffer): Promise<DataRef> {
  const handle: FileHandle = await open(file.path, "r");
  try {
    const writer = sink.createFile(file.size);
    for (let done = 0; done < file.size; ) {
      const want = Math.min(buffer.length, file.size - done);
      const { bytesRead } = await handle.read(buffer, 0, want, null);
      if (bytesRead === 0) break;
      await writer.write(buffer.subarray(0, bytesRead));
      done += bytesRead;
    }
    return await writer.close();
  } finally {
    await handle.close();
  }
}
