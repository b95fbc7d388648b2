// One blob in the making: a file in ingest/, hashed while it is written. Survives a kill: resume() hashes what is there.

import { createHash, type Hash } from "node:crypto";
import { constants, type FileHandle, open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { KilnError } from "../../base/errors.js";
import { syncDirectory } from "../../base/files.js";
import { renameInto } from "../../base/move-aside.js";

const BUFFER_BYTES = 512 * 1024;
const READ_BYTES = 1024 * 1024;

/** Sees what is written, beside the file. */
export interface IngestTap {
  push(chunk: Uint8Array): Promise<void>;
  /** The bytes so far were not the blob's. */
  drop(): void;
}

export class Ingest {
  /** Sees all that is appended from where it is set. */
  tap: IngestTap | undefined;
  readonly path: string;
  readonly #file: FileHandle;
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #hash: Hash = createHash("sha256");
  #buffered = 0;
  #written = 0;
  #closed = false;

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.#file = file;
  }

  /**
   * Opens the file and goes on where it ends.
   *
   * @param limit bytes that the blob has: a longer file can't be a piece of it and is begun anew
   */
  static async resume(path: string, limit: number): Promise<Ingest> {
    const ingest = await Ingest.#open(path, constants.O_RDWR | constants.O_CREAT);
    try {
      const { size } = await ingest.#file.stat();
      if (size > limit) await ingest.restart();
      else await ingest.#rehash(size);
      return ingest;
    } catch (error) {
      await ingest.close();
      throw KilnError.from(error, `resume ${path}`);
    }
  }

  /** Opens a new file; an old one of that name is emptied. */
  static async create(path: string): Promise<Ingest> {
    return await Ingest.#open(path, constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC);
  }

  static async #open(path: string, flags: number): Promise<Ingest> {
    try {
      return new Ingest(path, await open(path, flags, 0o600));
    } catch (error) {
      throw KilnError.from(error, `open ${path}`);
    }
  }

  /** Bytes taken so far. */
  get offset(): number {
    return this.#written + this.#buffered;
  }

  /** Takes the next bytes; the chunk may be used again once the promise has resolved. */
  async append(chunk: Uint8Array): Promise<void> {
    this.#hash.update(chunk);
    await this.tap?.push(chunk);
    if (chunk.length >= BUFFER_BYTES / 2) {
      await this.flush();
      await this.#write(chunk);
      return;
    }
    if (this.#buffered + chunk.length > BUFFER_BYTES) await this.flush();
    this.#buffer.set(chunk, this.#buffered);
    this.#buffered += chunk.length;
  }

  /** Hands what is buffered to the kernel, so that a killed daemon loses nothing of it. */
  async flush(): Promise<void> {
    const length = this.#buffered;
    this.#buffered = 0;
    if (length > 0) await this.#write(this.#buffer.subarray(0, length));
  }

  /** Begins anew with an empty file. */
  async restart(): Promise<void> {
    this.tap?.drop();
    this.#hash = createHash("sha256");
    this.#buffered = 0;
    this.#written = 0;
    await this.#file.truncate(0);
  }

  /** The digest of all bytes so far. */
  digest(): string {
    return `sha256:${this.#hash.copy().digest("hex")}`;
  }

  /** Makes the file durable under its final name, and closes. */
  async publish(path: string): Promise<void> {
    try {
      await this.flush();
      await this.#file.sync();
      await this.close();
      await renameInto(this.path, path);
      await syncDirectory(dirname(path));
    } catch (error) {
      throw KilnError.from(error, `store ${path}`);
    }
  }

  /** Keeps the file for a later resume, and closes. */
  async keep(): Promise<void> {
    try {
      if (!this.#closed) await this.flush();
    } finally {
      await this.close();
    }
  }

  /** Closes and removes. */
  async discard(): Promise<void> {
    await this.close();
    await rm(this.path, { force: true });
  }

  /** Closes without writing what is buffered. May be called twice. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#file.close();
  }

  async #write(bytes: Uint8Array): Promise<void> {
    try {
      let done = 0;
      while (done < bytes.length) {
        const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, this.#written);
        done += bytesWritten;
        this.#written += bytesWritten;
      }
    } catch (error) {
      throw KilnError.from(error, `write ${this.path}`);
    }
  }

  async #rehash(size: number): Promise<void> {
    const chunk = Buffer.allocUnsafe(Math.min(READ_BYTES, Math.max(1, size)));
    while (this.#written < size) {
      const { bytesRead } = await this.#file.read(chunk, 0, chunk.length, this.#written);
      if (bytesRead === 0) return;
      this.#hash.update(chunk.subarray(0, bytesRead));
      this.#written += bytesRead;
    }
  }
}
