// Trying again: exponential back-off with jitter, Retry-After honoured within bounds, the caller's signal always.

import { Code, KilnError } from "../../base/errors.js";
import { delay } from "../../base/runtime.js";
import type { ImageLimits } from "../limits.js";
import { isTransient, isUnreachable, retryAfterOf } from "./failures.js";

export type RetryLimits = Pick<ImageLimits, "attempts" | "retryBaseMs" | "retryMaxMs" | "retryAfterMaxMs">;

/** What to do after a failed try: wait so long, or give up with this error. */
export type RetryPlan = { readonly waitMs: number } | { readonly giveUp: KilnError };

/**
 * @param failures tries that have failed so far, this one included; at least 1
 * @param random 0 to 1, for the jitter
 */
export function planRetry(error: unknown, failures: number, limits: RetryLimits, random: number): RetryPlan {
  const failure = KilnError.from(error);
  if (!isTransient(failure) || failures >= limits.attempts) return { giveUp: failure };
  const asked = retryAfterOf(failure);
  if (asked !== undefined && asked > limits.retryAfterMaxMs) {
    return { giveUp: tooLong(failure, asked) };
  }
  const step = Math.min(limits.retryMaxMs, limits.retryBaseMs * 2 ** (failures - 1));
  // between half and the whole: many pulls cut at once must not come back at once
  const backOff = step * (0.5 + random / 2);
  return { waitMs: Math.round(Math.max(backOff, asked ?? 0)) };
}

export interface RetryOptions {
  readonly limits: RetryLimits;
  readonly signal?: AbortSignal | undefined;
  /** Told before each wait. */
  readonly onRetry?: (error: KilnError, waitMs: number) => void;
}

/**
 * Runs `attempt` until it succeeds, fails for good, or the tries are used up. A host that can't be reached at all is
 * not tried again: the caller has a wrong name, and waits for nothing.
 */
export async function withRetries<T>(options: RetryOptions, attempt: () => Promise<T>): Promise<T> {
  for (let failures = 1; ; failures++) {
    options.signal?.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      if (isUnreachable(error)) throw error;
      const plan = planRetry(error, failures, options.limits, Math.random());
      if ("giveUp" in plan) throw plan.giveUp;
      options.onRetry?.(KilnError.from(error), plan.waitMs);
      await delay(plan.waitMs, options.signal);
    }
  }
}

/** Milliseconds of a Retry-After header (RFC 9110, 10.2.3): seconds or a date; undefined where it says nothing. */
export function parseRetryAfter(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined;
  const text = value.trim();
  if (/^[0-9]{1,9}$/.test(text)) return Number(text) * 1000;
  if (!/^[A-Z][a-z]{2}, /.test(text)) return undefined;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs);
}

function tooLong(failure: KilnError, asked: number): KilnError {
  const seconds = Math.ceil(asked / 1000);
  return new KilnError(Code.ResourceExhausted, `${failure.message} (it asks to wait ${seconds} s)`, {
    reason: failure.reason,
    hint: `try again in ${seconds} s, or log in: registries allow more to known users`,
    details: failure.details,
    cause: failure,
  });
}
