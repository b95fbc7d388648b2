// What a user has asked of a program that is being stopped. It is kept, so that a kilnd that comes meanwhile sends no other
// signal and is no less patient: a database that was given ten minutes must not be killed after the VM's ten seconds.

import type { VmEntry } from "../vm/entry.js";
import type { VmStatus } from "../vm/status.js";

export type StopAsk = NonNullable<VmStatus["stop"]>;

/** @param timeoutMs what the program may take from now on */
export function stopAsk(signal: number, timeoutMs: number, nowMs: number): StopAsk {
  return { signal, timeoutMs, until: new Date(nowMs + timeoutMs).toISOString() };
}

/** What is left of it. Of one that an earlier release has begun nothing is known: the VM's own counts. */
export function leftOfStop(
  { record, status }: VmEntry,
  nowMs: number,
): Pick<StopAsk, "signal" | "timeoutMs"> {
  const { stop } = status;
  const { stopSignal } = record.program;
  if (stop === undefined) return { signal: stopSignal, timeoutMs: record.config.stopTimeoutMs };
  // The clock may have been set back meanwhile.
  const left = Math.min(stop.timeoutMs, Math.max(0, Date.parse(stop.until) - nowMs));
  return { signal: stop.signal || stopSignal, timeoutMs: left || 0 };
}
