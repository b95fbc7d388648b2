// A lock that names its holder by pid and start time, so that a dead holder is told from a living one whatever pid was
// used again. It is a file with the name in it, put in place by a hard link in one step: the first release wrote and read
// the same, so that one which comes back by a downgrade tells a dead holder too. On a disk without a free byte it is a
// symbolic link whose target is the name.

import { createHash } from "node:crypto";
import { link, readFile, readlink, rename, rm, symlink, writeFile } from "node:fs/promises";
import { errnoOf, KilnError } from "./errors.js";
import { tempNameFor } from "./files.js";
import { identifyProcess, isAlive, type ProcessId } from "./processes.js";
import { delay } from "./runtime.js";

export interface FileLock {
  release(): Promise<void>;
}

/** The error where somebody else holds it; the holder is undefined where that changed under our eyes. */
export type InUse = (holder: ProcessId | undefined) => KilnError;

const ATTEMPTS = 5;
/** Take-overs of take-overs that died half way; each needs a kill at just that moment. */
const MOST_DEPTH = 8;
const LOOK_MS = 5;

/**
 * @param self default: this process
 * @throws KilnError what `inUse` says
 */
export async function lockFile(path: string, inUse: InUse, self?: ProcessId): Promise<FileLock> {
  const me = self ?? (await identifyProcess(process.pid));
  if (me === undefined) throw new Error("this process has no start time");
  const claim = new Claim(path, nameOf(me), inUse);
  try {
    await acquire(path, claim, 0);
  } finally {
    await claim.dispose();
  }
  return { release: () => releaseLock(path, me) };
}

/** Waits for a lock that is held for moments; what `inUse` says after `patienceMs`. */
export async function waitForLockFile(path: string, inUse: InUse, patienceMs: number): Promise<FileLock> {
  const until = Date.now() + patienceMs;
  const busy = inUse(undefined);
  for (;;) {
    try {
      return await lockFile(path, () => busy);
    } catch (error) {
      if (error !== busy || Date.now() > until) throw error;
    }
    await delay(LOOK_MS);
  }
}

/** Who is named as the holder, alive or not; undefined where nobody is. */
export async function namedHolder(path: string): Promise<ProcessId | undefined> {
  return parseHolder((await readName(path)) ?? "");
}

/** What we hold a lock by, once one is ours. */
class Claim {
  readonly inUse: InUse;
  readonly #mine: string;
  readonly #path: string;
  #file: Promise<boolean> | undefined;

  constructor(path: string, mine: string, inUse: InUse) {
    this.#path = tempNameFor(path);
    this.#mine = mine;
    this.inUse = inUse;
  }

  /** @returns false where something is there already */
  async put(path: string): Promise<boolean> {
    this.#file ??= writeFile(this.#path, `${this.#mine}\n`, { flag: "wx", mode: 0o600 }).then(
      () => true,
      () => false,
    );
    // No room, or a file system without hard links: a symbolic link needs neither, and says what else is wrong.
    if ((await this.#file) && (await isPut(() => link(this.#path, path)).catch(() => false))) return true;
    try {
      return await isPut(() => symlink(this.#mine, path));
    } catch (error) {
      throw KilnError.from(error, `lock ${path}`);
    }
  }

  async dispose(): Promise<void> {
    if (this.#file !== undefined) await rm(this.#path, { force: true });
  }
}

/** Neither link(2) nor symlink(2) ever replaces what is there. */
async function isPut(put: () => Promise<void>): Promise<boolean> {
  try {
    await put();
    return true;
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return false;
    throw error;
  }
}

async function acquire(path: string, claim: Claim, depth: number): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const seen = await readName(path);
    if (seen === undefined) {
      if (await claim.put(path)) return;
      continue;
    }
    const holder = parseHolder(seen);
    if (holder !== undefined && (await isAlive(holder))) throw claim.inUse(holder);
    if (depth < MOST_DEPTH && (await takeOver(path, seen, claim, depth))) return;
  }
  throw claim.inUse(undefined);
}

/**
 * Replaces a dead holder's lock. Many may come upon it at once, and one who is late must not replace the lock of the
 * first: so the right to replace just this content is a lock of its own, and the content is looked at again under it.
 *
 * @returns false where somebody else has replaced it
 */
async function takeOver(path: string, seen: string, claim: Claim, depth: number): Promise<boolean> {
  const gate = `${path}.after-${createHash("sha256").update(seen).digest("hex").slice(0, 16)}`;
  await acquire(gate, claim, depth + 1);
  try {
    if ((await readName(path)) !== seen) return false;
    const replacement = tempNameFor(path);
    await claim.put(replacement);
    await rename(replacement, path);
    return true;
  } finally {
    await rm(gate, { force: true });
  }
}

/** Undefined where there is no lock. */
async function readName(path: string): Promise<string | undefined> {
  try {
    return await readlink(path).catch((error: unknown) => {
      if (errnoOf(error) === "EINVAL") return readFile(path, "utf8");
      throw error;
    });
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw KilnError.from(error, `read the lock ${path}`);
  }
}

/** `startTime` as the first release compares it, `start` with the boot. */
function nameOf({ pid, startTime }: ProcessId): string {
  return JSON.stringify({ pid, startTime: startTime.replace(/b.*/, ""), start: startTime });
}

/** Undefined where it is damaged: then nobody holds it. */
function parseHolder(text: string): ProcessId | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) return undefined;
    const { pid, startTime: ticks, start } = value as Record<string, unknown>;
    const startTime = typeof start === "string" ? start : ticks;
    return typeof pid === "number" && typeof startTime === "string" ? { pid, startTime } : undefined;
  } catch {
    return undefined;
  }
}

async function releaseLock(path: string, me: ProcessId): Promise<void> {
  const holder = parseHolder((await readName(path)) ?? "");
  if (holder?.pid === me.pid && holder.startTime === me.startTime) await rm(path, { force: true });
}
