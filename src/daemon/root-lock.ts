// One kilnd for each data root.

import { join } from "node:path";
import { Code, KilnError } from "../base/errors.js";
import { type FileLock, lockFile } from "../base/lock-file.js";
import type { ProcessId } from "../base/processes.js";

const FILE = "kilnd.lock";

/**
 * @param self default: this process
 * @throws KilnError failed_precondition `data-root-in-use`
 */
export function lockRoot(dataRoot: string, self?: ProcessId): Promise<FileLock> {
  return lockFile(join(dataRoot, FILE), (holder) => inUse(dataRoot, holder), self);
}

function inUse(dataRoot: string, holder: ProcessId | undefined): KilnError {
  const who = holder === undefined ? "another kilnd" : `another kilnd (pid ${holder.pid})`;
  return new KilnError(Code.FailedPrecondition, `${dataRoot} is used by ${who}`, {
    reason: "data-root-in-use",
    hint: "use that one, or give this one a root of its own with KILN_ROOT",
  });
}
