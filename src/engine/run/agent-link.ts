// The engine's hold on one guest's agent: one session at a time, opened again whenever it breaks while the VMM lives.
// It knows nothing of what is said over the session.

import type { AgentSession } from "../../agent/types.js";
import { Code, hasReason, KilnError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import { delay } from "../../base/runtime.js";
import { Notifier, until } from "../common/notifier.js";
import type { LinkPauses } from "../common/settings.js";

export interface AgentLinkOptions {
  /** For messages. */
  readonly name: string;
  /** Opens one session: dial, hello. */
  readonly open: (signal: AbortSignal) => Promise<AgentSession>;
  /** Told of each new session, at once. Must not throw. */
  readonly onSession: (session: AgentSession) => void;
  /**
   * Told once, and nothing more is tried, when the guest has broken the protocol in `MOST_BREACHES` attempts in a row.
   * Silence alone never comes to that: a guest may be slow, starved or standing still.
   */
  readonly onLost: (why: string) => void;
  readonly pauses: LinkPauses;
  readonly log: Logger;
}

/** With the pauses between them at least 12 s. */
const MOST_BREACHES = 9;
/** A session that lasted this long has earned a quick next attempt. */
const STEADY_MS = 5_000;

export class AgentLink {
  readonly #options: AgentLinkOptions;
  readonly #abort = new AbortController();
  readonly #changed = new Notifier();
  #session: AgentSession | undefined;
  #loop: Promise<void> | undefined;
  #held: Promise<void> | undefined;
  /** Why no attempt can reach it any more, as far as is known. */
  #cutOff: unknown;
  #release: (() => void) | undefined;

  constructor(options: AgentLinkOptions) {
    this.#options = options;
  }

  /** Begins, with a session that is already open or by opening one. */
  start(first?: AgentSession): void {
    this.#loop ??= this.#run(first);
  }

  /** The session of this moment. */
  get current(): AgentSession | undefined {
    return this.#session;
  }

  /**
   * The session, waiting a while for one that is being opened again.
   *
   * @throws KilnError unavailable `agent-unreachable`
   */
  async session(
    options: { signal?: AbortSignal | undefined; timeoutMs?: number } = {},
  ): Promise<AgentSession> {
    if (this.#session !== undefined) return this.#session;
    const timeout = AbortSignal.timeout(options.timeoutMs ?? 5_000);
    const signals = [timeout, this.#abort.signal, ...(options.signal === undefined ? [] : [options.signal])];
    try {
      const settled = () => this.#session ?? (this.#cutOff === undefined ? undefined : CUT_OFF);
      const session = await until(this.#changed, settled, AbortSignal.any(signals));
      if (session !== CUT_OFF) return session;
    } catch (error) {
      options.signal?.throwIfAborted();
      throw unreachable(this.#options.name, error);
    }
    throw lostChannel(this.#options.name, this.#cutOff);
  }

  /** True between `hold` and `resume`. */
  get held(): boolean {
    return this.#held !== undefined;
  }

  /** No attempt to open a session until `resume`: a paused guest answers no hello. */
  hold(): void {
    if (this.#held !== undefined) return;
    this.#held = new Promise((resolve) => {
      this.#release = resolve;
    });
  }

  resume(): void {
    this.#release?.();
    this.#held = undefined;
    this.#release = undefined;
  }

  /** Ends the session and all attempts. Idempotent. */
  async close(): Promise<void> {
    this.#abort.abort();
    this.resume();
    await this.#session?.close();
    await this.#loop;
  }

  async #run(first: AgentSession | undefined): Promise<void> {
    const { pauses, onLost } = this.#options;
    let pause = pauses.first;
    let breaches = 0;
    let session = first;
    while (!this.#abort.signal.aborted) {
      const attempt = await this.#attempt(session);
      session = undefined;
      if (this.#abort.signal.aborted) return;
      if (attempt.steady) [pause, breaches] = [pauses.first, 0];
      // Once it has broken the protocol, silence to a hello is no excuse.
      if (attempt.breach || (breaches > 0 && attempt.silent)) breaches++;
      if (breaches >= MOST_BREACHES) return onLost(attempt.why);
      await delay(pause, this.#abort.signal).catch(() => undefined);
      pause = Math.min(pause * 2, pauses.longest);
    }
    await session?.close();
  }

  /** One session from its hello to its end. Never rejects. */
  async #attempt(open: AgentSession | undefined): Promise<Attempt> {
    try {
      const session = open ?? (await this.#open());
      const opened = Date.now();
      const why = await this.#serve(session);
      const steady = Date.now() - opened >= STEADY_MS;
      return { steady, breach: session.violated, silent: false, why };
    } catch (error) {
      const why = KilnError.from(error).message;
      this.#options.log.debug("the agent can't be reached", { why });
      if (hasReason(error, "no-such-file")) {
        this.#cutOff = error;
        this.#changed.notify();
      }
      const breach = hasReason(error, "channel-garbage");
      return { steady: false, breach, silent: hasReason(error, "no-hello"), why };
    }
  }

  async #open(): Promise<AgentSession> {
    await this.#held;
    this.#abort.signal.throwIfAborted();
    return this.#options.open(this.#abort.signal);
  }

  async #serve(session: AgentSession): Promise<string> {
    // Whoever has closed the link while it came has found no session to close, and waits.
    if (this.#abort.signal.aborted) {
      await session.close();
      return "the link is closed";
    }
    this.#session = session;
    this.#cutOff = undefined;
    this.#changed.notify();
    this.#options.onSession(session);
    const why = await session.closed;
    this.#session = undefined;
    if (!this.#abort.signal.aborted) this.#options.log.debug("the agent's session ended", { why });
    return why;
  }
}

const CUT_OFF = Symbol("cut off");

function unreachable(name: string, cause: unknown): KilnError {
  return new KilnError(Code.Unavailable, `the agent of VM ${name} does not answer`, {
    reason: "agent-unreachable",
    hint: "see `kiln logs --console`; `kiln restart` starts the VM anew",
    cause,
  });
}

/** Nobody makes that socket again while the VMM lives: there is nothing to wait for. */
function lostChannel(name: string, cause: unknown): KilnError {
  const why = KilnError.from(cause).message;
  return new KilnError(
    Code.Unavailable,
    `the agent of VM ${name} can't be reached: its channel is gone: ${why}`,
    {
      reason: "agent-unreachable",
      hint: `its socket was removed from the run directory; \`kiln restart ${name}\` starts the VM anew`,
      cause,
    },
  );
}

interface Attempt {
  /** The session lasted. */
  readonly steady: boolean;
  /** The guest broke the protocol. */
  readonly breach: boolean;
  /** No answer to the hello in its time. */
  readonly silent: boolean;
  readonly why: string;
}
