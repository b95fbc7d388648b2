// A small file that is kept twice: `<path>` and `<path>.bak`. Whichever of the two can be read serves, so that a
// torn, emptied or overwritten file costs nothing. What could not be read is put aside as `<path>.damaged`.

import { rm } from "node:fs/promises";
import { errnoOf } from "./errors.js";
import { failpoint } from "./failpoint.js";
import { type AtomicOptions, putInPlace, writeBeside, writeFileAtomic, writeNewFile } from "./files.js";
import { DAMAGED_SUFFIX, moveAside, removeFile } from "./move-aside.js";
import { readPlainFile } from "./plain-file.js";
import { allEnded } from "./runtime.js";

export const COPY_SUFFIX = ".bak";

/** More than any file of ours has; a longer one is damage. */
const MAX_BYTES = 64 * 1024 * 1024;

/**
 * Replaces both, the file itself first. The copy is never synced: after a power cut one of them is enough, and where it
 * can't be written (a full disk) the file itself has been.
 */
export function writeKept(path: string, value: unknown, options: AtomicOptions = {}): Promise<void> {
  return writeKeptText(path, toText(value), options);
}

/** The same for what is no JSON. */
export async function writeKeptText(path: string, text: string, options: AtomicOptions = {}): Promise<void> {
  const copy = path + COPY_SUFFIX;
  // Beside the file's own, which waits for the disk; put in place after it.
  const making = writeBeside(copy, text, { ...options, durable: false }).catch(() => undefined);
  try {
    await writeFileAtomic(path, text, options);
  } catch (error) {
    const taken = await making;
    if (taken !== undefined) await rm(taken, { force: true });
    if (!isFull(error)) throw error;
    // Even a copy that did not come about has had room for a while that the file itself needed.
    await giveCopyUp(path);
    await writeFileAtomic(path, text, options);
    await writeFileAtomic(copy, text, { ...options, durable: false }).catch(() => undefined);
    return;
  }
  failpoint("kept.first");
  const made = await making;
  if (made !== undefined) await putInPlace(made, copy).catch(() => undefined);
}

/** Writes both in a directory in the making, where neither is yet: see `writeNewFile`. */
export async function writeKeptNew(path: string, value: unknown, options: AtomicOptions = {}): Promise<void> {
  const text = toText(value);
  await allEnded([
    writeNewFile(path, text, options),
    writeNewFile(path + COPY_SUFFIX, text, { ...options, durable: false }),
  ]);
}

function toText(value: unknown): string {
  return `${JSON.stringify(value, null, 1)}\n`;
}

const isFull = (error: unknown): boolean => ["ENOSPC", "EDQUOT"].includes(errnoOf(error) ?? "");

/**
 * Removes the copy of a file that is whole, so that a full disk has room for the file's next version: removing an image
 * or a VM is the cure for a full disk, and it writes first. A copy that may be the better of the two stays.
 */
async function giveCopyUp(path: string): Promise<void> {
  const [file, copy] = await Promise.all(
    [path, path + COPY_SUFFIX].map((name) => readPlainFile(name, MAX_BYTES).catch(() => undefined)),
  );
  if (file === undefined || copy === undefined || !file.equals(copy)) return;
  await rm(path + COPY_SUFFIX, { force: true });
}

export interface Kept<T> {
  readonly value: T;
  /** The file itself was missing or damaged: the copy served, and has been put in its place. */
  readonly fromCopy: boolean;
  /** What was wrong with the file; undefined where it was good or not there. */
  readonly damage?: string;
}

/** Neither can be read: what was found instead; undefined where neither is there. */
export interface Lost {
  readonly value: undefined;
  readonly damage: string | undefined;
}

/**
 * Reads the file, or else its copy, and mends whichever of the two is missing or damaged. Mending that fails (a full
 * disk) is left to the next time.
 *
 * @param parse undefined for what is no such record
 */
export function readKept<T>(
  path: string,
  parse: (json: unknown) => T | undefined,
  options: ReadKeptOptions = {},
): Promise<Kept<T> | Lost> {
  return readKeptText(
    path,
    (text) => {
      const json = parseJson(text);
      return json === undefined ? undefined : parse(json);
    },
    options,
  );
}

export interface ReadKeptOptions extends Pick<AtomicOptions, "mode"> {
  /** false: looks only. Default true. */
  readonly mend?: boolean;
}

/** The same for what is no JSON. */
export async function readKeptText<T>(
  path: string,
  parse: (text: string) => T | undefined,
  options: ReadKeptOptions = {},
): Promise<Kept<T> | Lost> {
  const main = await readOne(path, parse);
  const copy = await readOne(path + COPY_SUFFIX, parse);
  if (main.value !== undefined) {
    if (copy.text !== main.text) await restore(path + COPY_SUFFIX, main.text, options);
    return { value: main.value, fromCopy: false };
  }
  const damage = main.damage ?? copy.damage;
  if (copy.value === undefined) return { value: undefined, damage };
  // Kept for whoever edited it by hand: what an empty one says is nothing.
  if (options.mend !== false && main.text !== undefined && main.text !== "") {
    await moveAside(path).catch(() => undefined);
  }
  await restore(path, copy.text, options);
  return { value: copy.value, fromCopy: true, ...(main.damage === undefined ? {} : { damage: main.damage }) };
}

/**
 * Removes the file and what is beside it; the file itself last, because it says what the others were. A directory that
 * was in the place of one stays, put aside.
 */
export async function removeKept(path: string): Promise<void> {
  for (const suffix of [DAMAGED_SUFFIX, COPY_SUFFIX, ""]) await removeFile(path + suffix);
}

interface One<T> {
  readonly value?: T | undefined;
  readonly text?: string;
  readonly damage?: string;
}

async function readOne<T>(path: string, parse: (text: string) => T | undefined): Promise<One<T>> {
  let text: string;
  try {
    text = (await readPlainFile(path, MAX_BYTES)).toString("utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return {};
    // A directory in its place, a bad sector: as unreadable as any other damage.
    return { damage: `${path}: ${error instanceof Error ? error.message : String(error)}` };
  }
  if (text.trim() === "") return { text: "", damage: `${path} is empty` };
  const value = parse(text);
  return value === undefined ? { text, damage: `${path} can't be understood` } : { text, value };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function restore(path: string, text: string | undefined, options: ReadKeptOptions): Promise<void> {
  if (text === undefined || options.mend === false) return;
  await writeFileAtomic(path, text, { mode: options.mode, durable: false }).catch(() => undefined);
}
