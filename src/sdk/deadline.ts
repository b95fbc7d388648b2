// `{ signal, timeoutMs }` of every call as one AbortSignal.

import { anySignal } from "../base/abort.js";
import { Code, hasReason, KilnError } from "../base/errors.js";

/** Bounds one call: the abort of `signal`, or `timeoutMs`, whichever comes first, ends the whole of it. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds for the whole call. A process started by the call is killed with it. */
  readonly timeoutMs?: number | undefined;
}

/** Of signals made here: which limit they keep, to be named when it is over. */
const limits = new WeakMap<AbortSignal, { timeout: AbortSignal; timeoutMs: number }>();

/** What Node's timers can wait, 24 days: longer ones would fire at once. */
const LONGEST_MS = 2 ** 31 - 1;

/** The signal that ends the call; undefined where nothing does. */
export function deadlineSignal(options: CallOptions): AbortSignal | undefined {
  const { signal, timeoutMs } = options;
  if (timeoutMs === undefined) return signal;
  if (!(timeoutMs >= 0)) {
    throw new KilnError(Code.InvalidArgument, `timeoutMs must not be negative: ${timeoutMs}`, {
      reason: "bad-timeout",
    });
  }
  const timeout = AbortSignal.timeout(Math.min(Math.ceil(timeoutMs), LONGEST_MS));
  const both = anySignal(timeout, signal);
  limits.set(both, { timeout, timeoutMs });
  return both;
}

/** Throws what the signal says, as a KilnError: `cancelled`, or deadline_exceeded `timeout`. */
export function throwIfEnded(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted) throw endedError(signal, what);
}

/** The KilnError of an aborted signal. */
export function endedError(signal: AbortSignal, what: string): KilnError {
  const reason: unknown = signal.reason;
  const limit = limits.get(signal);
  if (limit?.timeout.aborted && limit.timeout.reason === reason)
    return overdue(what, limit.timeoutMs, reason);
  if (reason instanceof Error) {
    const known =
      reason.name === "AbortError" || reason.name === "TimeoutError" || reason instanceof KilnError;
    if (known) return KilnError.from(reason, what);
  }
  return new KilnError(Code.Cancelled, `${what}: cancelled`, { reason: "cancelled", cause: reason });
}

/**
 * The error of a call that failed: what its own signal says, where that has ended it; a deadline that kilnd saw before
 * us reads like ours.
 */
export function callError(
  error: unknown,
  signal: AbortSignal | undefined,
  what: string,
): KilnError | undefined {
  if (signal?.aborted) return endedError(signal, what);
  const limit = signal === undefined ? undefined : limits.get(signal);
  if (limit !== undefined && hasReason(error, "timeout")) return overdue(what, limit.timeoutMs, error);
  return error instanceof KilnError ? error : undefined;
}

function overdue(what: string, timeoutMs: number, cause: unknown): KilnError {
  return new KilnError(Code.DeadlineExceeded, `${what}: it took longer than ${timeoutMs} ms`, {
    reason: "timeout",
    hint: "give it a higher timeoutMs",
    details: { timeoutMs: String(timeoutMs) },
    cause,
  });
}
