// Things in use by work that nothing on disk names yet: an image whose base is being built, a base whose VM is being
// made. What is held is not collected.

export class Holds {
  readonly #counts = new Map<string, number>();

  /** @returns the release; calling it again does nothing */
  hold(key: string): () => void {
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const count = (this.#counts.get(key) ?? 1) - 1;
      if (count === 0) this.#counts.delete(key);
      else this.#counts.set(key, count);
    };
  }

  has(key: string): boolean {
    return this.#counts.has(key);
  }
}
