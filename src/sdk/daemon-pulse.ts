// Notices a kilnd that is there and does nothing, a stopped process for example: its socket stays open, and every call
// would wait for ever. It is asked by HTTP/2's PING, which a kilnd of any age answers, and only while calls are under way.

import type { ClientHttp2Session } from "node:http2";
import { Code, KilnError } from "../base/errors.js";

export interface PulseOptions {
  /** Milliseconds from an answer to the next question, and between two looks for one. */
  readonly stepMs: number;
  /** Looks in vain until kilnd is given up. */
  readonly looks: number;
}

/** Far longer than a host is ever too busy for its daemon. */
export const PATIENCE: PulseOptions = { stepMs: 5_000, looks: 12 };

/** What the calls of a connection fail with that has no pulse any more. */
export class Silence extends Error {}

type Pinged = Pick<ClientHttp2Session, "destroyed" | "destroy" | "ping">;

/** The pulse of one connection. */
export class DaemonPulse {
  readonly #session: Pinged;
  readonly #options: PulseOptions;
  #timer: NodeJS.Timeout | undefined;
  #asked = false;
  #missed = 0;

  constructor(session: Pinged, options: PulseOptions) {
    this.#session = session;
    this.#options = options;
  }

  /** A first call is under way. */
  start(): void {
    this.#missed = 0;
    this.#timer ??= setInterval(() => this.#look(), this.#options.stepMs).unref();
  }

  /** None is any more. */
  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Looks are counted, not time: a client that was stopped itself first has to read what has come meanwhile. */
  #look(): void {
    if (this.#session.destroyed) {
      this.stop();
    } else if (!this.#asked) {
      this.#missed = 0;
      this.#asked = true;
      this.#session.ping(() => {
        this.#asked = false;
      });
    } else if (++this.#missed >= this.#options.looks) {
      this.stop();
      this.#session.destroy(new Silence("kilnd answers no ping"));
    }
  }
}

/** The error of a call whose kilnd does not answer. It is no outage: nobody would bring that kilnd back. */
export function daemonSilent(what: string): KilnError {
  const seconds = (PATIENCE.stepMs * PATIENCE.looks) / 1000;
  return new KilnError(Code.Unavailable, `${what}: kilnd has given no sign of life for ${seconds} s`, {
    reason: "daemon-silent",
    hint: "where it is stopped, `kill -CONT` and its process id (`pgrep -fa kilnd`) let it go on; VMs go on without it",
  });
}
