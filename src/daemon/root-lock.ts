// One kilnd for each data root: a lock file that names its holder by pid and start time, so that a dead holder is
// told from a living one whatever pid was used again.

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
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      // link(2) is the atomic step: it never replaces what is there.
      if (await linked(mine, path)) return { release: () => releaseLock(path, me) };
      const holder = await readHolder(path);
      if (holder !== undefined && (await isAlive(holder))) throw inUse(dataRoot, holder);
      await takeAway(path);
    }
  } finally {
    await rm(mine, { force: true });
  }
  throw inUse(dataRoot, undefined);
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

async function readHolder(path: string): Promise<ProcessId | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(path, "utf8"));
    if (typeof value !== "object" || value === null) return undefined;
    const { pid, startTime } = value as Record<string, unknown>;
    return typeof pid === "number" && typeof startTime === "string" ? { pid, startTime } : undefined;
  } catch {
    return undefined; // gone meanwhile, or damaged: nobody holds it
  }
}

/**
 * Takes a dead holder's lock away. Two may do so at once: whoever has moved a living one's lock by mistake sees that
 * and puts it back.
 */
async function takeAway(path: string): Promise<void> {
  const aside = tempNameFor(path);
  try {
    await rename(path, aside);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return;
    throw KilnError.from(error, `take over ${path}`);
  }
  const holder = await readHolder(aside);
  if (holder !== undefined && (await isAlive(holder))) await linked(aside, path);
  await rm(aside, { force: true });
}

async function releaseLock(path: string, me: ProcessId): Promise<void> {
  const holder = await readHolder(path);
  if (holder?.pid === me.pid && holder.startTime === me.startTime) await rm(path, { force: true });
}

function inUse(dataRoot: string, holder: ProcessId | undefined): KilnError {
  const who = holder === undefined ? "another kilnd" : `another kilnd (pid ${holder.pid})`;
  return new KilnError(Code.FailedPrecondition, `${dataRoot} is used by ${who}`, {
    reason: "data-root-in-use",
    hint: "use that one, or give this one a root of its own with KILN_ROOT",
  });
}
