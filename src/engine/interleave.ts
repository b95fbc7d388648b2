// A stream of one source with what happens beside it put in between: the source is never asked twice at a time, and
// nothing is queued.

import type { Notifier } from "./notifier.js";

/**
 * @param beside what there is to say now that was not said before; asked after every change and before every item
 */
export async function* interleave<T>(
  source: AsyncIterable<T>,
  changes: readonly Notifier[],
  beside: () => T | undefined,
): AsyncGenerator<T> {
  const items = source[Symbol.asyncIterator]();
  const stop = new AbortController();
  const wait = () => Promise.race(changes.map((each) => each.next(stop.signal))).catch(() => undefined);
  let changed = wait();
  let next = ahead(items);
  try {
    for (;;) {
      const word = beside();
      if (word !== undefined) {
        yield word;
        continue;
      }
      const won = await Promise.race([next, changed]);
      if (won === undefined) changed = wait();
      else if (won.done === true) return;
      else {
        yield won.value;
        next = ahead(items);
      }
    }
  } finally {
    stop.abort();
    // Not waited for: a source that waits for a peer ends when its call does.
    items.return?.(undefined).catch(() => undefined);
  }
}

function ahead<T>(items: AsyncIterator<T>): Promise<IteratorResult<T>> {
  const next = items.next();
  next.catch(() => undefined); // thrown where it is awaited, if it still is
  return next;
}
