// State on disk: JSON written as temp + fsync + rename, so that a kill at any point leaves the old or the new file.

import { randomBytes } from "node:crypto";
import { type FileHandle, lstat, mkdir, open, readdir, rm, stat, statfs } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { errnoOf, KilnError } from "./errors.js";
import { renameInto } from "./move-aside.js";
import { readPlainFile } from "./plain-file.js";

/** More than any file of ours has. */
const MAX_JSON = 64 * 1024 * 1024;

/** Suffix of files in the making: whatever bears it may be removed at start. */
export const TEMP_MARK = ".tmp-";

/** A name for a file in the making beside `path`. */
export function tempNameFor(path: string): string {
  return join(dirname(path), `${basename(path)}${TEMP_MARK}${randomBytes(6).toString("hex")}`);
}

export interface AtomicOptions {
  /** Default 0600. */
  mode?: number | undefined;
  /** false: the content may be lost at power cut, never torn. Default true. */
  durable?: boolean;
}

/** Replaces `path` in one step. */
export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array,
  options: AtomicOptions = {},
): Promise<void> {
  const temp = await writeBeside(path, data, options);
  await putInPlace(temp, path);
  if (options.durable !== false) await syncDirectory(dirname(path));
}

/** The first half of writeFileAtomic. @returns the name of the file in the making, for `putInPlace` */
export async function writeBeside(
  path: string,
  data: string | Uint8Array,
  options: AtomicOptions = {},
): Promise<string> {
  const temp = tempNameFor(path);
  try {
    await writeNewFile(temp, data, options);
    return temp;
  } catch (error) {
    await rm(temp, { force: true });
    throw error;
  }
}

/** The second half. */
export async function putInPlace(temp: string, path: string): Promise<void> {
  try {
    await renameInto(temp, path);
  } catch (error) {
    await rm(temp, { force: true });
    throw error;
  }
}

/**
 * Writes a file that is not there, in a directory that nobody reads yet: as quick as can be, and torn by a kill. Whoever
 * shows the directory makes it durable.
 */
export async function writeNewFile(
  path: string,
  data: string | Uint8Array,
  options: AtomicOptions = {},
): Promise<void> {
  const file = await open(path, "wx", options.mode ?? 0o600);
  try {
    await file.writeFile(data);
    if (options.durable !== false) await file.sync();
  } finally {
    await file.close();
  }
}

/**
 * Removes the files that writers who were killed left half made in a directory.
 *
 * @param olderThanMs younger ones may still be in the making; default: of all, where nobody else writes there
 */
export async function removeLeftovers(directory: string, olderThanMs = 0): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!name.includes(TEMP_MARK)) continue;
    const path = join(directory, name);
    const info = await lstat(path).catch(() => undefined);
    const isOld = info !== undefined && Date.now() - info.mtimeMs >= olderThanMs;
    if (isOld && info.isFile()) await rm(path, { force: true });
  }
}

export function writeJsonAtomic(path: string, value: unknown, options: AtomicOptions = {}): Promise<void> {
  return writeFileAtomic(path, `${JSON.stringify(value, null, 1)}\n`, options);
}

/** The parsed file, or undefined where there is none. Throws SyntaxError on damage: the caller says what it was. */
export async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse((await readPlainFile(path, MAX_JSON)).toString("utf8"));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    if (error instanceof KilnError) throw new SyntaxError(error.message, { cause: error });
    throw error;
  }
}

/** Makes a rename in the directory survive a power cut. */
export async function syncDirectory(path: string): Promise<void> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, "r");
    await handle.sync();
  } finally {
    await handle?.close();
  }
}

export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return false;
    throw error;
  }
}

/** A private directory (0700 unless told otherwise), parents included. */
export async function makeDirectory(path: string, mode = 0o700): Promise<string> {
  await makeMissing(path, mode);
  return path;
}

/**
 * Makes a directory and those above it that are missing. Not with Node's own `recursive`: where the directory above is
 * there and mkdir(2) says ENOENT all the same, as in /proc, that tries again for ever.
 *
 * @returns those that were made, the uppermost first
 */
export async function makeMissing(path: string, mode: number): Promise<string[]> {
  if (await makeOne(path, mode, dirname(path) !== path)) return [path];
  if (await exists(path)) return [];
  const above = await makeMissing(dirname(path), mode);
  return (await makeOne(path, mode, false)) ? [...above, path] : above;
}

/** @returns false where it was there before or, if that is `tolerated`, where the directory above is missing */
async function makeOne(path: string, mode: number, tolerated: boolean): Promise<boolean> {
  try {
    await mkdir(path, { mode });
    return true;
  } catch (error) {
    if (tolerated && errnoOf(error) === "ENOENT") return false;
    if (errnoOf(error) === "EEXIST" && (await stat(path)).isDirectory()) return false;
    throw error;
  }
}

/** Bytes free for this user on the file system of `path`. */
export async function freeBytes(path: string): Promise<number> {
  const fs = await statfs(path);
  return fs.bavail * fs.bsize;
}

/** Bytes really taken by a (sparse) file; 0 where there is none. */
export async function allocatedBytes(path: string): Promise<number> {
  try {
    return (await stat(path)).blocks * 512;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return 0;
    throw error;
  }
}

/** Bytes really taken below a directory; what vanishes meanwhile counts as nothing. */
export async function directoryBytes(path: string): Promise<number> {
  let bytes = 0;
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const child = join(path, entry.name);
    bytes += entry.isDirectory() ? await directoryBytes(child) : await allocatedBytes(child);
  }
  return bytes;
}
