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
  let next = new Ahead(items);
  try {
    for (;;) {
      const word = beside();
      if (word !== undefined) {
        yield word;
      } else if (next.here) {
        const item = await next.item;
        if (item.done === true) return;
        yield item.value;
        next = new Ahead(items);
      } else {
        await next.orOneOf(changes);
      }
    }
  } finally {
    // Not waited for: a source that waits for a peer ends when its call does.
    items.return?.(undefined).catch(() => undefined);
  }
}

/**
 * The next item, asked for ahead of its use. Waits are not races between promises that live on: each race would leave
 * a handler, and with it the item that won, on the promise that lost, for as long as that one stays open.
 */
class Ahead<T> {
  /** Throws where it is awaited, if it still is. */
  readonly item: Promise<IteratorResult<T>>;
  here = false;
  #wake: () => void = () => undefined;

  constructor(items: AsyncIterator<T>) {
    this.item = items.next();
    const arrived = () => {
      this.here = true;
      this.#wake();
    };
    this.item.then(arrived, arrived);
  }

  /** Resolves once the item is here or something has changed; leaves nothing behind. */
  async orOneOf(changes: readonly Notifier[]): Promise<void> {
    let leave: readonly (() => void)[] = [];
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      leave = changes.map((each) => each.watch(resolve));
    });
    for (const each of leave) each();
  }
}
