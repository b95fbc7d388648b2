// VMs that end by themselves: a lifetime is counted from the start, or from when it was changed, and kept as the moment of
// its end, so that neither a new kilnd nor a reboot of the guest changes it.

import { Code, hasReason, KilnError } from "../base/errors.js";
import { LONGEST_TIMER_MS } from "../base/runtime.js";
import { type EngineContext, vmLogger } from "./context.js";
import { LIFETIME_OVER } from "./vm-end.js";
import type { VmEntry } from "./vm-entry.js";
import { isLive } from "./vm-state.js";
import type { VmStatus } from "./vm-status.js";

/** True where the VM has outlived its time. */
export function isOver({ status }: VmEntry, nowMs: number): boolean {
  return status.expiresAt !== undefined && Date.parse(status.expiresAt) <= nowMs;
}

/** What aborts a start that its lifetime overtakes. */
export function lifetimeOver(entry: VmEntry): KilnError {
  return new KilnError(Code.Aborted, `the lifetime of VM ${entry.name} is over`, { reason: LIFETIME_OVER });
}

/** The reason of a start that was given up. */
export function abortReason(signal: AbortSignal): string {
  return hasReason(signal.reason, LIFETIME_OVER) ? LIFETIME_OVER : "killed";
}

/** True where a lifetime has begun, so that a new one counts from now: it runs, or its policy is about to start it again. */
export function hasBegun({ state, restartAt }: VmStatus): boolean {
  return isLive(state) || restartAt !== undefined;
}

/** Sets the timer of a VM that has begun to run, or was found running. `expire` is called once its time is over. */
export function armLifetime(
  ctx: EngineContext,
  entry: VmEntry,
  expire: (entry: VmEntry) => Promise<void>,
): void {
  clearTimeout(entry.lifetimeTimer);
  if (entry.status.expiresAt === undefined || entry.removing) return;
  const left = Date.parse(entry.status.expiresAt) - ctx.now();
  const fire = () => {
    if (entry.removing || !isOver(entry, ctx.now())) return armLifetime(ctx, entry, expire);
    vmLogger(ctx, entry).info("the VM's lifetime is over");
    expire(entry).catch((error: unknown) => {
      vmLogger(ctx, entry).error("a VM can't be ended at the end of its lifetime", {
        why: KilnError.from(error).message,
      });
    });
  };
  entry.lifetimeTimer = setTimeout(fire, Math.min(Math.max(0, left), LONGEST_TIMER_MS));
}
