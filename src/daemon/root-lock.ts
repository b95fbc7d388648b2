// One kilnd for each data root, and for each run root: two would take each other's sockets for leftovers.

import { readdir, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { Code, KilnError } from "../base/errors.js";
import { TEMP_MARK } from "../base/files.js";
import { lockInKernel } from "../base/kernel-lock.js";
import { type FileLock, lockFile, namedHolder } from "../base/lock-file.js";
import type { ProcessId } from "../base/processes.js";

const FILE = "kilnd.lock";
const RUN_FILE = "run.lock";

export interface RootLock extends FileLock {
  /** Why the kernel does not hold it here: kilnds that don't see each other's processes may get in side by side. */
  readonly flaw: string | undefined;
}

/**
 * Held twice: in the kernel, for kilnds that don't see each other's processes, and by name, for the message and for
 * kilnds that know no other way.
 *
 * @param self default: this process
 * @throws KilnError failed_precondition `data-root-in-use`
 */
export function lockRoot(dataRoot: string, self?: ProcessId): Promise<RootLock> {
  const path = join(dataRoot, FILE);
  return lockBoth(dataRoot, path, (holder) => inUse(dataRoot, holder), self);
}

/**
 * @param dataRoot is locked by the caller: where it is the same directory, the kernel's lock is that one
 * @param self default: this process
 * @throws KilnError failed_precondition `run-root-in-use`
 */
export async function lockRunRoot(runRoot: string, dataRoot?: string, self?: ProcessId): Promise<RootLock> {
  const path = join(runRoot, RUN_FILE);
  const refusal = (holder: ProcessId | undefined) => runRootInUse(runRoot, holder);
  if (dataRoot === undefined || !(await isSameDirectory(runRoot, dataRoot)))
    return lockBoth(runRoot, path, refusal, self);
  return { ...(await lockFile(path, refusal, self)), flaw: undefined };
}

async function lockBoth(
  directory: string,
  path: string,
  refusal: (holder: ProcessId | undefined) => KilnError,
  self: ProcessId | undefined,
): Promise<RootLock> {
  const kernel = await lockInKernel(directory);
  if (kernel === undefined) throw refusal(await namedHolder(path));
  try {
    const name = await lockFile(path, refusal, self);
    await removeLeftOvers(directory, basename(path));
    const release = async () => {
      await name.release();
      await kernel.release();
    };
    return { flaw: kernel.flaw, release };
  } catch (error) {
    await kernel.release();
    throw error;
  }
}

/** Of claims that were killed half way. */
async function removeLeftOvers(directory: string, file: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (name.startsWith(`${file}${TEMP_MARK}`)) await rm(join(directory, name), { force: true });
  }
}

async function isSameDirectory(one: string, other: string): Promise<boolean> {
  const [first, second] = await Promise.all([one, other].map((path) => stat(path, { bigint: true })));
  return first?.dev === second?.dev && first?.ino === second?.ino;
}

function inUse(dataRoot: string, holder: ProcessId | undefined): KilnError {
  return new KilnError(Code.FailedPrecondition, `${dataRoot} is used by ${nameOf(holder)}`, {
    reason: "data-root-in-use",
    hint: "use that one, or give this one a root of its own with KILN_ROOT",
  });
}

function runRootInUse(runRoot: string, holder: ProcessId | undefined): KilnError {
  return new KilnError(
    Code.FailedPrecondition,
    `the sockets of VMs can't be kept in ${runRoot}: ${nameOf(holder)} with another data root keeps its own there`,
    {
      reason: "run-root-in-use",
      hint: "give this one a run root of its own too, with --run-root or, for all roots together, KILN_ROOT",
    },
  );
}

function nameOf(holder: ProcessId | undefined): string {
  return holder === undefined ? "another kilnd" : `another kilnd (pid ${holder.pid})`;
}
