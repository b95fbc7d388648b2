// Writes to the image file in large pieces: small writes that follow each other are gathered, large ones go through
// untouched. Synchronous on purpose: a base is built in a process of its own, and a page-cache write is shorter
// than the way through the thread pool.

import { writeSync } from "node:fs";
import { KilnError } from "../../base/errors.js";
import { BLOCK_SIZE } from "./format.js";

/** Measured: larger pieces are slower, the buffer no longer fits the CPU's cache. */
const BUFFER_SIZE = 1024 * 1024;
/** Chunks from here on are worth a system call of their own instead of a copy. */
const DIRECT_SIZE = 64 * 1024;

/** A FileHandle, whose descriptor is -1 once it is closed. */
export interface OpenFile {
  readonly fd: number;
}

export class BlockWriter {
  readonly #file: OpenFile;
  readonly #path: string;
  readonly #buffer = Buffer.allocUnsafe(BUFFER_SIZE);
  /** Where in the file the buffer's first byte goes. */
  #offset = 0;
  #used = 0;

  /**
   * @param file asked for its descriptor at each write: once it is closed, the number may be another file's
   * @param path names the image in errors
   */
  constructor(file: OpenFile, path: string) {
    this.#file = file;
    this.#path = path;
  }

  /**
   * Writes, now or later; `chunk` may be reused at once. Later writes win over earlier ones to the same place.
   *
   * @throws KilnError resource_exhausted `host-disk-full`, or what else the host said
   */
  write(offset: number, chunk: Uint8Array): void {
    this.#seek(offset);
    if (chunk.length >= DIRECT_SIZE) {
      // Up to a page border, so that no page is written by two calls.
      const direct = chunk.length - ((offset + chunk.length) % BLOCK_SIZE);
      this.flush();
      this.#writeAll(chunk.subarray(0, direct), offset);
      this.#offset = offset + direct;
      this.#append(chunk.subarray(direct));
    } else this.#append(chunk);
  }

  /** Writes zeros, for the rest of a block and the like. */
  writeZeros(offset: number, length: number): void {
    this.#seek(offset);
    for (let left = length; left > 0; ) {
      const part = Math.min(left, this.#room());
      this.#buffer.fill(0, this.#used, this.#used + part);
      this.#used += part;
      left -= part;
    }
  }

  /** Hands everything to the host's page cache. */
  flush(): void {
    if (this.#used === 0) return;
    this.#writeAll(this.#buffer.subarray(0, this.#used), this.#offset);
    this.#offset += this.#used;
    this.#used = 0;
  }

  #seek(offset: number): void {
    if (offset === this.#offset + this.#used) return;
    this.flush();
    this.#offset = offset;
  }

  #append(chunk: Uint8Array): void {
    for (let from = 0; from < chunk.length; ) {
      const part = Math.min(chunk.length - from, this.#room());
      this.#buffer.set(part === chunk.length ? chunk : chunk.subarray(from, from + part), this.#used);
      this.#used += part;
      from += part;
    }
  }

  #room(): number {
    if (this.#used === BUFFER_SIZE) this.flush();
    return BUFFER_SIZE - this.#used;
  }

  #writeAll(bytes: Uint8Array, offset: number): void {
    try {
      for (let done = 0; done < bytes.length; ) {
        // A write may be cut short where the disk gets full; the next call then says why.
        done += writeSync(this.#file.fd, bytes, done, bytes.length - done, offset + done);
      }
    } catch (error) {
      throw KilnError.from(error, `write ${bytes.length} bytes to disk image ${this.#path}`);
    }
  }
}
