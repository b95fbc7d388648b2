// Whoever sends a program a signal wants something of it: a guest that is silent must not keep them waiting for it.

import { delay } from "../../base/runtime.js";
import { signalNumber } from "../common/signals.js";

/** What asks a program to end. */
const ENDING: ReadonlySet<number> = new Set(["HUP", "INT", "QUIT", "KILL", "TERM"].map(signalNumber));

/** @throws KilnError invalid_argument `bad-signal` */
export function asksForEnd(signal: string): boolean {
  return ENDING.has(signalNumber(signal));
}

export interface VigilOptions {
  /** Asks for one sign of life; rejects where none came in about that time. */
  readonly hear: (withinMs: number) => Promise<unknown>;
  /** How long one sign of life may take, and how long the next one is waited for. */
  readonly heardMs: number;
  /** False while the guest may be silent: its user has paused it. */
  readonly mayListen: () => boolean;
  /** Told once, with why, when a sign of life did not come. Must not throw. */
  readonly onDeaf: (why: unknown) => void;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/** Listens for signs of life: once after any signal, and from one that asks for the end until that has come. */
export class GuestVigil {
  readonly #options: VigilOptions;
  #lasting = false;

  constructor(options: VigilOptions) {
    this.#options = options;
  }

  /** The signal is on its way to the guest. */
  sent(signal: string): void {
    if (this.#lasting) return;
    this.#lasting = asksForEnd(signal);
    this.#listen(this.#lasting).catch((why: unknown) => {
      if (!this.#options.signal.aborted) this.#options.onDeaf(why);
    });
  }

  async #listen(lasting: boolean): Promise<void> {
    const { hear, heardMs, mayListen, signal } = this.#options;
    await hear(heardMs);
    while (lasting) {
      await delay(heardMs, signal);
      if (mayListen()) await hear(heardMs);
    }
  }
}
