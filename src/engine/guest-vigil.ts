// Whoever sends a program a signal wants something of it: a guest that is silent must not keep them waiting for it.

import type { AgentSession } from "../agent/types.js";
import { delay } from "../base/runtime.js";
import { signalNumber } from "./signals.js";

/** What asks a program to end. */
const ENDING: ReadonlySet<number> = new Set(["HUP", "INT", "QUIT", "KILL", "TERM"].map(signalNumber));

export interface VigilOptions {
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
  readonly #session: AgentSession;
  readonly #options: VigilOptions;
  #lasting = false;

  constructor(session: AgentSession, options: VigilOptions) {
    this.#session = session;
    this.#options = options;
  }

  /** The signal is on its way to the guest. */
  sent(signal: string): void {
    if (this.#lasting) return;
    this.#lasting = ENDING.has(signalNumber(signal));
    this.#listen(this.#lasting).catch((why: unknown) => {
      if (!this.#options.signal.aborted) this.#options.onDeaf(why);
    });
  }

  async #listen(lasting: boolean): Promise<void> {
    const { heardMs, mayListen, signal } = this.#options;
    await this.#session.ping(heardMs);
    while (lasting) {
      await delay(heardMs, signal);
      if (mayListen()) await this.#session.ping(heardMs);
    }
  }
}
