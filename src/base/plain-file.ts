// Small files that a user names, or that lie where kiln looks by convention, read whole. Nobody says that they are files:
// opening a FIFO waits for its writer and takes one of Node's four file threads with it, and /dev/zero has no end.

import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { Code, KilnError } from "./errors.js";

const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
const PIECE_BYTES = 64 * 1024;

/** Opens a regular file; never waits. @throws KilnError failed_precondition `not-a-file`; a Node system error */
export async function openPlainFile(path: string): Promise<FileHandle> {
  const file = await open(path, FLAGS);
  try {
    if (!(await file.stat()).isFile()) throw notAFile(path);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/**
 * The bytes of a regular file.
 *
 * @throws KilnError failed_precondition `not-a-file`, resource_exhausted `file-too-large`; a Node system error
 */
export async function readPlainFile(path: string, limit: number): Promise<Buffer> {
  const file = await openPlainFile(path);
  try {
    const pieces = new Pieces(path, limit, (await file.stat()).size);
    for (;;) {
      const piece = pieces.next();
      const { bytesRead } = await file.read(piece, 0, piece.length, null);
      if (bytesRead === 0) return pieces.whole();
      pieces.add(piece.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}

/** The same where nothing may be awaited. */
export function readPlainFileSync(path: string, limit: number): Buffer {
  const fd = openSync(path, FLAGS);
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw notAFile(path);
    const pieces = new Pieces(path, limit, stat.size);
    for (;;) {
      const piece = pieces.next();
      const bytesRead = readSync(fd, piece, 0, piece.length, null);
      if (bytesRead === 0) return pieces.whole();
      pieces.add(piece.subarray(0, bytesRead));
    }
  } finally {
    closeSync(fd);
  }
}

/** What has been read so far: a file may grow meanwhile, and those of /proc say that they are empty. */
class Pieces {
  readonly #path: string;
  readonly #limit: number;
  readonly #pieces: Buffer[] = [];
  #first: number;
  #size = 0;

  constructor(path: string, limit: number, size: number) {
    this.#path = path;
    this.#limit = limit;
    if (size > limit) throw this.#tooLarge();
    this.#first = size;
  }

  next(): Buffer {
    const size = Math.max(this.#first, PIECE_BYTES);
    this.#first = 0;
    return Buffer.allocUnsafe(size);
  }

  add(piece: Buffer): void {
    this.#size += piece.length;
    if (this.#size > this.#limit) throw this.#tooLarge();
    this.#pieces.push(piece);
  }

  whole(): Buffer {
    return Buffer.concat(this.#pieces, this.#size);
  }

  #tooLarge(): KilnError {
    return new KilnError(Code.ResourceExhausted, `${this.#path} is larger than ${this.#limit} bytes`, {
      reason: "file-too-large",
    });
  }
}

function notAFile(path: string): KilnError {
  return new KilnError(Code.FailedPrecondition, `${path} is not a regular file`, { reason: "not-a-file" });
}
