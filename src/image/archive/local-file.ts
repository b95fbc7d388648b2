// Files that a user names: regular ones only, so that a FIFO or a device can't hold the daemon.

import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { Code, errnoOf, KilnError } from "../../base/errors.js";
import { ImageReason } from "../reasons.js";

const READ_BYTES = 1024 * 1024;

export interface LocalFile extends AsyncDisposable {
  readonly handle: FileHandle;
  readonly size: number;
}

/** @throws KilnError `no-such-file`, `permission-denied`, `invalid-archive` for what is no regular file */
export async function openRegular(path: string, what: string): Promise<LocalFile> {
  let handle: FileHandle | undefined;
  try {
    // without O_NONBLOCK opening a FIFO would wait for its writer
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stat = await handle.stat();
    if (!stat.isFile()) {
      throw new KilnError(Code.InvalidArgument, `${path} is not a regular file`, {
        reason: ImageReason.InvalidArchive,
      });
    }
    const opened = handle;
    return { handle: opened, size: stat.size, [Symbol.asyncDispose]: () => opened.close() };
  } catch (error) {
    await handle?.close();
    if (errnoOf(error) !== "ENOENT") throw KilnError.from(error, what);
    throw new KilnError(Code.NotFound, `${what}: there is no file ${path}`, {
      reason: "no-such-file",
      cause: error,
    });
  }
}

/** The file's bytes; each chunk is a buffer of its own. */
export async function* readRegular(file: LocalFile, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  for (;;) {
    signal?.throwIfAborted();
    const { bytesRead, buffer } = await file.handle.read(Buffer.allocUnsafe(READ_BYTES), 0, READ_BYTES, null);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

/** The whole of a small file. @throws KilnError resource_exhausted `image-too-large` */
export async function readSmall(path: string, limit: number, what: string): Promise<Buffer> {
  const file = await openRegular(path, what);
  try {
    if (file.size <= limit) return await file.handle.readFile();
  } finally {
    await file.handle.close();
  }
  throw new KilnError(Code.ResourceExhausted, `${what}: ${path} is larger than ${limit} bytes`, {
    reason: ImageReason.ImageTooLarge,
  });
}
