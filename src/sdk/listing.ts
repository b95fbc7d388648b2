// A list from kilnd: iterate it, or await it for an array.

/** Asked for once, when it is first awaited or iterated. */
export class Listing<T> implements AsyncIterable<T>, PromiseLike<readonly T[]> {
  readonly #load: () => Promise<readonly T[]>;
  #items: Promise<readonly T[]> | undefined;

  constructor(load: () => Promise<readonly T[]>) {
    this.#load = load;
  }

  /** All of it. What `await` does. */
  toArray(): Promise<readonly T[]> {
    this.#items ??= this.#load();
    return this.#items;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    yield* await this.toArray();
  }

  // biome-ignore lint/suspicious/noThenProperty: being awaitable is half of what this class is for.
  then<A = readonly T[], B = never>(
    onFulfilled?: ((value: readonly T[]) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.toArray().then(onFulfilled, onRejected);
  }
}
