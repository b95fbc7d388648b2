// A file sink that keeps files' data in one spool file until the tree is known, then writes chosen paths of it to a
// directory of the host. For kernel images only: what it writes are plain files and directories, named by us or
// checked, so that a hostile image reaches nothing but that directory.

import { closeSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { Code, KilnError } from "../../base/errors.js";
import { makeDirectory } from "../../base/files.js";
import type { DataRef, DirectoryInode, FileSink, FileWriter, Inode, SinkResult } from "../../base/tree.js";
import { lookUp } from "./tree-lookup.js";

interface SpooledData extends DataRef {
  readonly offset: number;
}

const COPY_BYTES = 1024 * 1024;
const MOST_DEPTH = 32;

export interface SpoolLimits {
  /** All data of the image. */
  readonly totalBytes: number;
  /** Files and directories written out. */
  readonly entries: number;
}

const DEFAULT_LIMITS: SpoolLimits = { totalBytes: 8 * 1024 ** 3, entries: 100_000 };

export class SpoolSink implements FileSink {
  readonly #path: string;
  readonly #fd: number;
  readonly #limits: SpoolLimits;
  #end = 0;
  #root: DirectoryInode | undefined;

  constructor(path: string, limits: SpoolLimits = DEFAULT_LIMITS) {
    this.#path = path;
    this.#limits = limits;
    this.#fd = openSync(path, "wx+", 0o600);
  }

  createFile(size: number): FileWriter {
    const offset = this.#end;
    if (offset + size > this.#limits.totalBytes) throw tooLarge(this.#limits.totalBytes);
    this.#end += size;
    let at = offset;
    return {
      write: (chunk) => {
        writeSync(this.#fd, chunk, 0, chunk.length, at);
        at += chunk.length;
      },
      hole: (length) => {
        at += length;
      },
      close: (): SpooledData => {
        if (at !== offset + size)
          throw new KilnError(Code.DataLoss, "a file is shorter than announced", {
            reason: "file-truncated",
          });
        return { size, offset };
      },
    };
  }

  /** The spool goes as a whole. */
  free(): void {
    return;
  }

  async finish(root: DirectoryInode): Promise<SinkResult> {
    this.#root = root;
    ftruncateSync(this.#fd, this.#end); // a hole at the very end
    return { sizeBytes: this.#end, inodes: 0, dataBytes: this.#end };
  }

  async abort(): Promise<void> {
    await this.dispose();
  }

  /** Removes the spool. */
  async dispose(): Promise<void> {
    closeSync(this.#fd);
    await rm(this.#path, { force: true });
  }

  /**
   * Writes what `path` leads to in the finished tree to `target`: a file, or a directory with its files. Links,
   * devices and odd names in it are left out.
   *
   * @returns false where the tree holds nothing there
   */
  async extract(path: string, target: string): Promise<boolean> {
    const inode = this.#root === undefined ? undefined : lookUp(this.#root, path);
    if (inode === undefined) return false;
    await this.#write(inode, target, { left: this.#limits.entries }, 0);
    return true;
  }

  async #write(inode: Inode, target: string, budget: { left: number }, depth: number): Promise<void> {
    if (budget.left-- <= 0 || depth > MOST_DEPTH) throw tooMany();
    if (inode.type === "file") return this.#copy(inode.data as SpooledData, target);
    if (inode.type !== "directory") return;
    await makeDirectory(target, 0o755);
    for (const [name, child] of inode.entries) {
      if (/^[A-Za-z0-9_][A-Za-z0-9._+,@:=-]*$/.test(name))
        await this.#write(child, join(target, name), budget, depth + 1);
    }
  }

  async #copy(data: SpooledData, target: string): Promise<void> {
    const file = await open(target, "wx", 0o644);
    try {
      const buffer = Buffer.alloc(Math.min(COPY_BYTES, Math.max(1, data.size)));
      for (let done = 0; done < data.size; ) {
        const count = readSync(
          this.#fd,
          buffer,
          0,
          Math.min(buffer.length, data.size - done),
          data.offset + done,
        );
        await file.write(buffer, 0, count);
        done += count;
      }
    } finally {
      await file.close();
    }
  }
}

function tooLarge(limit: number): KilnError {
  return new KilnError(Code.ResourceExhausted, `the kernel image holds more than ${limit} bytes`, {
    reason: "image-too-large",
  });
}

function tooMany(): KilnError {
  return new KilnError(Code.ResourceExhausted, "the kernel image holds too many files", {
    reason: "too-many-entries",
  });
}
