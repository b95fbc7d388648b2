// What was found a moment ago, for looks that are cheap once and dear for each of many VMs that start together.

/** Keeps a finding for a moment; those who ask meanwhile share it, also while it is being made. */
export class Recent<T> {
  readonly #keepMs: number;
  readonly #now: () => number;
  #kept: { readonly found: Promise<T>; until: number } | undefined;

  /** @param now for tests; default: a clock that only goes on */
  constructor(keepMs: number, now: () => number = () => performance.now()) {
    this.#keepMs = keepMs;
    this.#now = now;
  }

  /** @param isWorth what else is found is not kept, nor what was thrown: it is looked for again at once */
  get(find: () => Promise<T>, isWorth: (found: T) => boolean): Promise<T> {
    if (this.#kept !== undefined && this.#now() < this.#kept.until) return this.#kept.found;
    const kept = { found: find(), until: Number.POSITIVE_INFINITY };
    this.#kept = kept;
    const drop = () => {
      if (this.#kept === kept) this.#kept = undefined;
    };
    kept.found.then((found) => {
      if (!isWorth(found)) drop();
      else kept.until = this.#now() + this.#keepMs;
    }, drop);
    return kept.found;
  }
}
