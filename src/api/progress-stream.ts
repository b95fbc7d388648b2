// Long work as a stream: what has changed since the reader last looked, then the result. A slow reader skips steps in
// between; it never makes the work wait and never queues more than one update for each step.

import type { OnProgress, ProgressUpdate } from "../base/progress.js";

export type ProgressItem<T> =
  | { readonly kind: "progress"; readonly update: ProgressUpdate }
  | { readonly kind: "result"; readonly value: T };

/** @throws what the work throws */
export async function* withProgress<T>(
  work: (onProgress: OnProgress) => Promise<T>,
): AsyncGenerator<ProgressItem<T>> {
  const latest = new Map<string, ProgressUpdate>();
  let wake: () => void = () => undefined;
  let finished = false;
  const result = work((update) => {
    latest.set(update.id, update);
    wake();
  });
  const over = () => {
    finished = true;
    wake();
  };
  result.then(over, over);
  for (;;) {
    const woken = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const updates = [...latest.values()];
    latest.clear();
    for (const update of updates) yield { kind: "progress", update };
    if (finished && latest.size === 0) break;
    if (latest.size === 0) await woken;
  }
  yield { kind: "result", value: await result };
}
