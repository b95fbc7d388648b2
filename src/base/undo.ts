// Undo stack: every acquire pushes its release at once. Node 20 has no AsyncDisposableStack.

import { KilnError } from "./errors.js";

export type Undo = () => void | Promise<void>;

/**
 * Releases in reverse order unless committed.
 *
 * ```ts
 * await using undo = new UndoStack();
 * const fd = await open(path);
 * undo.push("close the file", () => fd.close());
 * undo.commit(); // all is well: keep everything
 * ```
 */
export class UndoStack implements AsyncDisposable {
  #steps: { what: string; undo: Undo }[] = [];
  readonly #onFailure: (what: string, error: KilnError) => void;

  /** @param onFailure told of each release that failed; the others still run. Default: throws them at the end. */
  constructor(onFailure?: (what: string, error: KilnError) => void) {
    this.#failures = [];
    this.#onFailure = onFailure ?? ((what, error) => this.#failures.push(KilnError.from(error, what)));
  }
  readonly #failures: KilnError[];

  push(what: string, undo: Undo): void {
    this.#steps.push({ what, undo });
  }

  /** Keeps what was acquired. */
  commit(): void {
    this.#steps = [];
  }

  /** Releases everything now, newest first. */
  async rollback(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step.undo();
      } catch (error) {
        this.#onFailure(step.what, KilnError.from(error));
      }
    }
    const first = this.#failures.shift();
    if (first !== undefined) throw first;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.rollback();
  }
}
