// A queue of one: the pushing side waits until the reading side (a gRPC call) has taken what was pushed before, so
// that nothing piles up between them.

import { type Deferred, deferred } from "../base/runtime.js";

export class InputQueue<T> implements AsyncIterable<T> {
  #waiting: { item: T; taken: Deferred<void> }[] = [];
  #wake: Deferred<void> | undefined;
  #ended = false;

  /** Resolves when the item was taken; also when the queue has ended meanwhile: its reader needs no more. */
  push(item: T): Promise<void> {
    if (this.#ended) return Promise.resolve();
    const taken = deferred<void>();
    this.#waiting.push({ item, taken });
    this.#wake?.resolve();
    return taken.promise;
  }

  /** No more will come; what waits is still read. */
  end(): void {
    this.#ended = true;
    this.#wake?.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    try {
      for (;;) {
        const next = this.#waiting.shift();
        if (next !== undefined) {
          // Also when the reader leaves at this very item: nobody must wait for it any longer.
          try {
            yield next.item;
          } finally {
            next.taken.resolve();
          }
        } else if (this.#ended) return;
        else {
          this.#wake = deferred();
          await this.#wake.promise;
          this.#wake = undefined;
        }
      }
    } finally {
      this.#ended = true;
      for (const { taken } of this.#waiting.splice(0)) taken.resolve();
    }
  }
}
