// A kilnd that has gone away: how long it is waited for, and what an error says about it.

import { Code, KilnError } from "../base/errors.js";
import { delay } from "../base/runtime.js";

/** How long it is tried to bring kilnd back. The guests' agents keep what ran for longer. */
export const OUTAGE_MS = 60_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1_000;

const PASSING: ReadonlySet<string> = new Set([
  "connection-lost",
  "daemon-not-running",
  "daemon-start-failed",
  "agent-unreachable",
  "guest-unavailable",
  "unavailable",
]);

/** True where kilnd, or its way to the guest, is gone for the moment: nothing was refused. */
export function isOutage(error: unknown): error is KilnError {
  return error instanceof KilnError && error.code === Code.Unavailable && PASSING.has(error.reason);
}

/** True where kilnd answers, but a guest's agent does not: trying again helps who was cut off, and nobody else. */
export function isGuestSilent(error: KilnError): boolean {
  return error.reason === "agent-unreachable" || error.reason === "guest-unavailable";
}

/** One outage, from the error that told of it. */
export class Outage {
  readonly #what: string;
  readonly #cause: KilnError;
  readonly #deadline = Date.now() + OUTAGE_MS;
  #pause = FIRST_PAUSE_MS;
  #last: KilnError;

  constructor(what: string, cause: KilnError) {
    this.#what = what;
    this.#cause = cause;
    this.#last = cause;
  }

  /** What a try came to. */
  failed(error: KilnError): void {
    this.#last = error;
  }

  /** What told of it. */
  get cause(): KilnError {
    return this.#cause;
  }

  /** Milliseconds until it is given up. */
  get leftMs(): number {
    return Math.max(1, this.#deadline - Date.now());
  }

  /**
   * Waits before the next try.
   *
   * @throws KilnError unavailable `daemon-lost` when it has lasted too long, or what a guest was silent with to the last;
   * the signal's reason
   */
  async pause(signal: AbortSignal | undefined): Promise<void> {
    if (Date.now() + this.#pause >= this.#deadline) {
      throw isGuestSilent(this.#last) ? this.#last : daemonLost(this.#what, this.#cause);
    }
    await delay(this.#pause, signal);
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS);
  }
}

/** The error of a call whose kilnd went away and stayed away. */
export function daemonLost(what: string, cause: KilnError): KilnError {
  const text = `${what}: kilnd went away and did not come back within ${OUTAGE_MS / 1000} s`;
  return new KilnError(Code.Unavailable, text, {
    reason: "daemon-lost",
    hint: "start it with `kilnd`; VMs go on without it, `kiln attach` and `kiln logs` go on with them",
    cause,
  });
}
