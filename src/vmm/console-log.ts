// The guest's console on disk: bounded, rotated, never in the guest's way. A guest may print without end, the disk
// may be full, the disk may be slow: then bytes are dropped and counted, and the writer of the console never waits.

import { constants } from "node:fs";
import { type FileHandle, lstat, open, rename, rm } from "node:fs/promises";
import { errnoOf } from "../base/errors.js";
import { deferred } from "../base/runtime.js";

/** Bytes per file; there are at most two: `path` and `path.1`. */
export const CONSOLE_LOG_BYTES = 1024 * 1024;

/** Bytes that may wait for a slow disk before further ones are dropped. */
const MAX_PENDING_BYTES = 256 * 1024;

/** The file is in a directory that only kilnd writes; a link is none of ours all the same. */
const { O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;
const APPEND = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK;
const READ = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;

const DEFAULT_TAIL_BYTES = 4096;

export class ConsoleLog {
  readonly path: string;
  readonly firstOutput: Promise<void>;
  readonly #spoke = deferred<void>();
  readonly #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #droppedBytes = 0;
  #pump: Promise<void> | undefined;
  #file: FileHandle | undefined;
  #size = 0;
  /** True once `path.1` holds this boot's output and not the one before. */
  #rotated = false;
  #closed = false;

  private constructor(path: string) {
    this.path = path;
    this.firstOutput = this.#spoke.promise;
  }

  /** A new boot: what the boot before wrote moves to `path.1`. */
  static async start(path: string): Promise<ConsoleLog> {
    await rename(path, previousOf(path)).catch(ignoreMissing);
    return new ConsoleLog(path);
  }

  /** The same boot, seen by a later kilnd. Never throws: what is wrong with the file is told when it is read. */
  static async resume(path: string): Promise<ConsoleLog> {
    const log = new ConsoleLog(path);
    const found = await lstat(path).catch(() => undefined);
    log.#size = found?.size ?? 0;
    log.#spoke.resolve();
    return log;
  }

  /** Takes bytes and returns at once. */
  write(chunk: Uint8Array): void {
    if (this.#closed || chunk.length === 0) return;
    this.#spoke.resolve();
    if (this.#pendingBytes + chunk.length > MAX_PENDING_BYTES) {
      this.#droppedBytes += chunk.length;
      return;
    }
    this.#noteDropped();
    this.#push(chunk);
    this.#pump ??= this.#drain();
  }

  /** The last bytes of this boot as text, control characters and escape sequences taken out. */
  async tail(limit = DEFAULT_TAIL_BYTES): Promise<string> {
    await this.#pump;
    let bytes = await readTail(this.path, limit);
    if (this.#rotated && bytes.length < limit) {
      bytes = Buffer.concat([await readTail(previousOf(this.path), limit - bytes.length), bytes]);
    }
    return plainText(bytes);
  }

  /** Waits for what was taken, then closes the file. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#pump;
    await this.#closeFile();
  }

  #push(chunk: Uint8Array): void {
    this.#pending.push(chunk);
    this.#pendingBytes += chunk.length;
  }

  #noteDropped(): void {
    if (this.#droppedBytes === 0) return;
    this.#push(Buffer.from(`\n[kiln: ${this.#droppedBytes} bytes of console output dropped]\n`));
    this.#droppedBytes = 0;
  }

  async #drain(): Promise<void> {
    while (this.#pending.length > 0) {
      const batch = Buffer.concat(this.#pending.splice(0));
      this.#pendingBytes = 0;
      try {
        await this.#append(batch);
      } catch {
        // A full disk must not cost the guest its console, nor kilnd its life; the gap is told once there is room.
        this.#droppedBytes += batch.length;
        await this.#closeFile();
      }
    }
    this.#pump = undefined;
  }

  async #append(batch: Buffer): Promise<void> {
    if (this.#size + batch.length > CONSOLE_LOG_BYTES && this.#size > 0) await this.#rotate();
    if (this.#file === undefined) {
      this.#file = await openOwn(this.path);
      this.#size = (await this.#file.stat()).size;
    }
    await this.#file.appendFile(batch);
    this.#size += batch.length;
  }

  async #rotate(): Promise<void> {
    await this.#closeFile();
    await rename(this.path, previousOf(this.path)).catch(ignoreMissing);
    this.#rotated = true;
    this.#size = 0;
  }

  async #closeFile(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close().catch(() => undefined);
  }
}

/** Removes both files of a console log. */
export async function removeConsoleLog(path: string): Promise<void> {
  await rm(path, { force: true });
  await rm(previousOf(path), { force: true });
}

/**
 * A file with a second name is somebody else's that was linked here, or one that a backup shares: it is left as it is,
 * under its other name, and a new one begins.
 */
async function openOwn(path: string): Promise<FileHandle> {
  const file = await open(path, APPEND, 0o600);
  try {
    if ((await file.stat()).nlink <= 1) return file;
    await rm(path, { force: true });
  } catch (error) {
    await file.close();
    throw error;
  }
  await file.close();
  return open(path, APPEND | O_EXCL, 0o600);
}

function previousOf(path: string): string {
  return `${path}.1`;
}

async function readTail(path: string, limit: number): Promise<Buffer> {
  const file = await open(path, READ).catch(ignoreMissing);
  if (file === undefined) return Buffer.alloc(0);
  try {
    const { size, nlink } = await file.stat();
    // Another file of the host's that was linked here: not for anybody's terminal.
    if (nlink > 1) return Buffer.alloc(0);
    const length = Math.min(limit, size);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** A guest writes to its console what it likes; the tail ends up in error messages on somebody's terminal. */
function plainText(bytes: Buffer): string {
  return (
    bytes
      .toString("utf8")
      // biome-ignore lint/suspicious/noControlCharactersInRegex: taking them out is the purpose
      .replace(/\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?/g, "")
      // biome-ignore lint/suspicious/noControlCharactersInRegex: as above
      .replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, "")
  );
}

function ignoreMissing(error: unknown): undefined {
  if (errnoOf(error) === "ENOENT") return undefined;
  throw error;
}
