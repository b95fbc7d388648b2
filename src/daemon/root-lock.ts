// One kilnd for each data root, and for each run root: two would take each other's sockets for leftovers.

import { join } from "node:path";
import { Code, KilnError } from "../base/errors.js";
import { lockInKernel } from "../base/kernel-lock.js";
import { type FileLock, lockFile, namedHolder } from "../base/lock-file.js";
import type { ProcessId } from "../base/processes.js";

const FILE = "kilnd.lock";
const RUN_FILE = "run.lock";

/**
 * Held twice: in the kernel, for kilnds that don't see each other's processes, and by name, for the message and for
 * kilnds that know no other way.
 *
 * @param self default: this process
 * @throws KilnError failed_precondition `data-root-in-use`
 */
export async function lockRoot(dataRoot: string, self?: ProcessId): Promise<FileLock> {
  const path = join(dataRoot, FILE);
  const kernel = await lockInKernel(dataRoot);
  if (kernel === undefined) throw inUse(dataRoot, await namedHolder(path));
  try {
    const name = await lockFile(path, (holder) => inUse(dataRoot, holder), self);
    return {
      release: async () => {
        await name.release();
        await kernel.release();
      },
    };
  } catch (error) {
    await kernel.release();
    throw error;
  }
}

/**
 * @param self default: this process
 * @throws KilnError failed_precondition `run-root-in-use`
 */
export function lockRunRoot(runRoot: string, self?: ProcessId): Promise<FileLock> {
  return lockFile(join(runRoot, RUN_FILE), (holder) => runRootInUse(runRoot, holder), self);
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
