// Waits that end with a signal. Whoever listens to one that outlives it must stop listening: hence a Disposable.

/**
 * Calls `act` once when the signal aborts; at once, before this returns, where it has. Dispose of it to listen no more.
 *
 * ```ts
 * using _ = onAbort(signal, () => child.kill());
 * ```
 */
export function onAbort(signal: AbortSignal | undefined, act: (reason: unknown) => void): Disposable {
  const listener = () => act(signal?.reason);
  if (signal?.aborted) listener();
  else signal?.addEventListener("abort", listener, { once: true });
  return { [Symbol.dispose]: () => signal?.removeEventListener("abort", listener) };
}

/**
 * The promise's outcome, or the signal's reason if it aborts first. What the promise stands for goes on.
 *
 * @param toError what to reject with instead of the signal's reason
 */
export async function orAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
  toError: (signal: AbortSignal) => unknown = ({ reason }) => reason,
): Promise<T> {
  if (signal === undefined) return await promise;
  return await new Promise<T>((resolve, reject) => {
    const listening = onAbort(signal, () => reject(toError(signal)));
    promise.then(resolve, reject).finally(() => listening[Symbol.dispose]());
  });
}

/** A signal that aborts with the first of those that are there. */
export function anySignal(first: AbortSignal, ...more: readonly (AbortSignal | undefined)[]): AbortSignal {
  const others = more.filter((signal) => signal !== undefined);
  return others.length === 0 ? first : AbortSignal.any([first, ...others]);
}
