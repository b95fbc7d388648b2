// VMs that end by themselves: a lifetime is counted from the start, or from when it was changed, and kept as the moment of
// its end, so that neither a new kilnd nor a reboot of the guest changes it.

import { Code, KilnError } from "../../base/errors.js";
import { LIFETIME_OVER } from "./end.js";
import type { VmEntry } from "./entry.js";
import { isLive } from "./state.js";
import type { VmStatus } from "./status.js";

/** True where the VM has outlived its time. */
export function isOver({ status }: VmEntry, nowMs: number): boolean {
  return status.expiresAt !== undefined && Date.parse(status.expiresAt) <= nowMs;
}

/** What aborts a start that its lifetime overtakes. */
export function lifetimeOver(entry: VmEntry): KilnError {
  return new KilnError(Code.Aborted, `the lifetime of VM ${entry.name} is over`, { reason: LIFETIME_OVER });
}

/** True where a lifetime has begun, so that a new one counts from now: it runs, or its policy is about to start it again. */
export function hasBegun({ state, restartAt }: VmStatus): boolean {
  return isLive(state) || restartAt !== undefined;
}
