// Local files as a copy reads them: opened without waiting, and what has gone since it was looked at told from what cannot
// be read.

import type { BigIntStats } from "node:fs";
import { constants } from "node:fs";
import { type FileHandle, open, statfs } from "node:fs/promises";
import { Code, errnoOf, KilnError } from "../base/errors.js";

const READ_BYTES = 64 * 1024;
/** So much is read of a file whose size nothing tells. */
const MAX_UNSIZED_BYTES = 16 * 1024 ** 2;
/** Of /proc and /sys (linux/magic.h), whose files say that they are empty, or a page, or larger than any disk. */
const KERNELS_OWN: readonly number[] = [0x9fa0, 0x62656572];
/** Not there, or another thing is in its place: no directory, a link, none. */
const GONE: readonly unknown[] = ["ENOENT", "ENOTDIR", "ELOOP", "EINVAL"];

/** For what a copy meets in a tree that lives: it was there when the directory was read. */
export function hasGone(error: unknown): boolean {
  return GONE.includes(errnoOf(error));
}

/**
 * Opens a file to read; never waits, for what was one may be a FIFO by now.
 *
 * @throws ENOENT where it is no file any more
 */
export async function openToRead(path: Buffer, followLink: boolean): Promise<FileHandle> {
  const follow = followLink ? 0 : constants.O_NOFOLLOW;
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY | follow);
  try {
    if ((await file.stat()).isFile()) return file;
    throw Object.assign(new Error(`ENOENT: no such file, open '${path.toString()}'`), { code: "ENOENT" });
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** True for files that have to be read to know how long they are. */
export async function isUnsized(path: Buffer, info: BigIntStats): Promise<boolean> {
  if (!info.isFile()) return false;
  return info.size === 0n || KERNELS_OWN.includes((await statfs(path)).type);
}

/**
 * All that there is now. A file without an end is not waited for: /proc/kmsg has only a next message.
 *
 * @throws KilnError invalid_argument `endless-file`, resource_exhausted `file-too-large`
 */
export async function readUnsized(file: FileHandle, path: Buffer): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let size = 0;
  for (;;) {
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    const bytesRead = await readNow(file, buffer);
    if (bytesRead === undefined && size === 0) throw endless(path);
    if (bytesRead === undefined || bytesRead === 0) return Buffer.concat(pieces);
    pieces.push(buffer.subarray(0, bytesRead));
    size += bytesRead;
    if (size > MAX_UNSIZED_BYTES) throw tooLarge(path);
  }
}

/** Undefined where there is nothing to be had but by waiting. */
async function readNow(file: FileHandle, buffer: Buffer): Promise<number | undefined> {
  try {
    return (await file.read(buffer, 0, buffer.length, null)).bytesRead;
  } catch (error) {
    if (errnoOf(error) === "EAGAIN") return undefined;
    throw error;
  }
}

function endless(path: Buffer): KilnError {
  return new KilnError(
    Code.InvalidArgument,
    `read ${path.toString()}: there is nothing in it now, and no end: it can only be waited for`,
    { reason: "endless-file" },
  );
}

function tooLarge(path: Buffer): KilnError {
  return new KilnError(
    Code.ResourceExhausted,
    `read ${path.toString()}: it is larger than the ${MAX_UNSIZED_BYTES} bytes that are read of a file without a size`,
    { reason: "file-too-large", hint: "write it into an ordinary file first" },
  );
}
