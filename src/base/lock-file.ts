// A lock that names its holder by pid and start time, so that a dead holder is told from a living one whatever pid was
// used again. It is a symbolic link whose target is the name: made in one step, and a disk without a free byte still
// has room for it.

import { createHash } from "node:crypto";
import { readFile, readlink, rename, rm, symlink } from "node:fs/promises";
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
  await acquire(path, { mine: nameOf(me), inUse }, 0);
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

interface Claim {
  /** Our name, as the link's target. */
  readonly mine: string;
  readonly inUse: InUse;
}

async function acquire(path: string, claim: Claim, depth: number): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    // symlink(2) is the atomic step: it never replaces what is there.
    if (await linked(claim.mine, path)) return;
    const seen = await readName(path);
    if (seen === undefined) continue;
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
    await linked(claim.mine, replacement);
    await rename(replacement, path);
    return true;
  } finally {
    await rm(gate, { force: true });
  }
}

async function linked(name: string, path: string): Promise<boolean> {
  try {
    await symlink(name, path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return false;
    throw KilnError.from(error, `lock ${path}`);
  }
}

/** Undefined where there is no lock. The first release wrote files. */
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

function nameOf({ pid, startTime }: ProcessId): string {
  return JSON.stringify({ pid, startTime });
}

/** Undefined where it is damaged: then nobody holds it. */
function parseHolder(text: string): ProcessId | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) return undefined;
    const { pid, startTime } = value as Record<string, unknown>;
    return typeof pid === "number" && typeof startTime === "string" ? { pid, startTime } : undefined;
  } catch {
    return undefined;
  }
}

async function releaseLock(path: string, me: ProcessId): Promise<void> {
  const holder = parseHolder((await readName(path)) ?? "");
  if (holder?.pid === me.pid && holder.startTime === me.startTime) await rm(path, { force: true });
}
