// What Node 20 lacks, in one place. Import this first in every program.

import { onAbort } from "./abort.js";
import { Alarm } from "./alarm.js";

// TypeScript down-levels `await using` to these symbols; Node 20.19 has them, older lines do not.
(Symbol as { asyncDispose?: symbol }).asyncDispose ??= Symbol.for("Symbol.asyncDispose");
(Symbol as { dispose?: symbol }).dispose ??= Symbol.for("Symbol.dispose");

export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

/** Promise.withResolvers, which Node 20 lacks. */
export function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((res, rej) => {
    resolve = res;
    reject = rej;
  });
  return { promise, resolve, reject };
}

/** Promise.all that rejects only once every part has ended: what undoes them must not meet one that still goes on. */
export async function allEnded(parts: readonly Promise<unknown>[]): Promise<void> {
  for (const part of await Promise.allSettled(parts)) if (part.status === "rejected") throw part.reason;
}

/** Why waits end that nobody needs any more. One for all: the error that `abort()` makes costs its stack each time. */
export const NOT_NEEDED = new Error("nobody waits for it any more");

/** Resolves after `ms`; rejects at once when `signal` aborts. Back-off only, never to wait for something observable. */
export function delay(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const alarm = new Alarm();
    alarm.after(ms, () => {
      waiting[Symbol.dispose]();
      resolve();
    });
    const waiting = onAbort(signal, (reason) => {
      alarm.clear();
      reject(reason);
    });
  });
}
