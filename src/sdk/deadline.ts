// `{ signal, timeoutMs }` of every call as one AbortSignal.

import { Code, KilnError } from "../base/errors.js";

/** Bounds one call: the abort of `signal`, or `timeoutMs`, whichever comes first, ends the whole of it. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds for the whole call. A process started by the call is killed with it. */
  readonly timeoutMs?: number | undefined;
}

/** The signal that ends the call; undefined where nothing does. */
export function deadlineSignal(options: CallOptions): AbortSignal | undefined {
  const { signal, timeoutMs } = options;
  if (timeoutMs === undefined) return signal;
  if (!(timeoutMs >= 0)) {
    throw new KilnError(Code.InvalidArgument, `timeoutMs must not be negative: ${timeoutMs}`, {
      reason: "bad-timeout",
    });
  }
  const timeout = AbortSignal.timeout(Math.ceil(timeoutMs));
  return signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
}

/** Throws what the signal says, as a KilnError: `cancelled`, or deadline_exceeded `timeout`. */
export function throwIfEnded(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted) throw endedError(signal, what);
}

/** The KilnError of an aborted signal. */
export function endedError(signal: AbortSignal, what: string): KilnError {
  const reason: unknown = signal.reason;
  if (reason instanceof Error) {
    const known =
      reason.name === "AbortError" || reason.name === "TimeoutError" || reason instanceof KilnError;
    if (known) return KilnError.from(reason, what);
  }
  return new KilnError(Code.Cancelled, `${what}: cancelled`, { reason: "cancelled", cause: reason });
}
