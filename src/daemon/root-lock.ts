// One kilnd for each data root: a lock file that names its holder by pid and start time, so that a dead holder is
// told from a living one whatever pid was used again.

import { createHash } from "node:crypto";
import { link, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { Code, errnoOf, KilnError } from "../base/errors.js";
import { tempNameFor, writeFileAtomic } from "../base/files.js";
import { identifyProcess, isAlive, type ProcessId } from "../base/processes.js";

export interface RootLock {
  release(): Promise<void>;
}

const FILE = "kilnd.lock";
const ATTEMPTS = 5;
/** Take-overs of take-overs that died half way; each needs a kill at just that moment. */
const MOST_DEPTH = 8;

/**
 * @param self default: this process
 * @throws KilnError failed_precondition `data-root-in-use`
 */
export async function lockRoot(dataRoot: string, self?: ProcessId): Promise<RootLock> {
  const path = join(dataRoot, FILE);
  const me = self ?? (await identifyProcess(process.pid));
  if (me === undefined) throw new Error("this process has no start time");
  const mine = tempNameFor(path);
  await writeFileAtomic(mine, `${JSON.stringify(me)}\n`, { durable: false });
  try {
    await acquire(path, { dataRoot, mine }, 0);
    return { release: () => releaseLock(path, me) };
  } finally {
    await rm(mine, { force: true });
  }
}

interface Claim {
  readonly dataRoot: string;
  /** A file that names us, to be linked into place. */
  readonly mine: string;
}

async function acquire(path: string, claim: Claim, depth: number): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    // link(2) is the atomic step: it never replaces what is there.
    if (await linked(claim.mine, path)) return;
    const seen = await readText(path);
    if (seen === undefined) continue;
    const holder = parseHolder(seen);
    if (holder !== undefined && (await isAlive(holder))) throw inUse(claim.dataRoot, holder);
    if (depth < MOST_DEPTH && (await takeOver(path, seen, claim, depth))) return;
  }
  throw inUse(claim.dataRoot, undefined);
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
    if ((await readText(path)) !== seen) return false;
    const replacement = tempNameFor(path);
    await link(claim.mine, replacement);
    await rename(replacement, path);
    return true;
  } finally {
    await rm(gate, { force: true });
  }
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return false;
    throw KilnError.from(error, `lock ${to}`);
  }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw KilnError.from(error, `read the lock ${path}`);
  }
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
  const holder = parseHolder((await readText(path)) ?? "");
  if (holder?.pid === me.pid && holder.startTime === me.startTime) await rm(path, { force: true });
}

function inUse(dataRoot: string, holder: ProcessId | undefined): KilnError {
  const who = holder === undefined ? "another kilnd" : `another kilnd (pid ${holder.pid})`;
  return new KilnError(Code.FailedPrecondition, `${dataRoot} is used by ${who}`, {
    reason: "data-root-in-use",
    hint: "use that one, or give this one a root of its own with KILN_ROOT",
  });
}
