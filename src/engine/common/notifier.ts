// Wakes whoever waits for "something has changed": waiters look at the truth themselves, so nothing is queued here
// and a slow reader costs no memory.

import { onAbort } from "../../base/abort.js";

/** A level-less signal. Ask for `next()` before reading the truth, else a change in between is missed. */
export class Notifier {
  #waiters = new Set<() => void>();

  /** Wakes everyone who waits now. */
  notify(): void {
    const waiters = this.#waiters;
    this.#waiters = new Set();
    for (const wake of waiters) wake();
  }

  /** Calls `wake` at the next `notify`, unless what it returns is called before. */
  watch(wake: () => void): () => void {
    const waiters = this.#waiters;
    waiters.add(wake);
    return () => waiters.delete(wake);
  }

  /** Resolves at the next `notify`; rejects with the signal's reason when it aborts. */
  next(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const waiters = this.#waiters;
      const wake = () => {
        listening[Symbol.dispose]();
        resolve();
      };
      const listening = onAbort(signal, (reason) => {
        waiters.delete(wake);
        reject(reason);
      });
      waiters.add(wake);
    });
  }
}

/**
 * Waits until `done` answers something, asking again at every change.
 *
 * @param done must be quick and synchronous
 */
export async function until<T>(
  notifier: Notifier,
  done: () => T | undefined,
  signal?: AbortSignal,
): Promise<T> {
  for (;;) {
    const answer = done();
    if (answer !== undefined) return answer;
    await notifier.next(signal);
  }
}
