// The engine's hold on one guest's agent: one session at a time, opened again whenever it breaks while the VMM lives.
// It knows nothing of what is said over the session.

import type { AgentSession } from "../agent/types.js";
import { Code, KilnError } from "../base/errors.js";
import type { Logger } from "../base/log.js";
import { delay } from "../base/runtime.js";
import { Notifier, until } from "./notifier.js";

export interface AgentLinkOptions {
  /** For messages. */
  readonly name: string;
  /** Opens one session: dial, hello. */
  readonly open: (signal: AbortSignal) => Promise<AgentSession>;
  /** Told of each new session, at once. Must not throw. */
  readonly onSession: (session: AgentSession) => void;
  readonly log: Logger;
}

const FIRST_DELAY_MS = 50;
// A guest that answers every hello with garbage costs us one attempt in this time.
const LONGEST_DELAY_MS = 10_000;
/** A session that lasted this long has earned a quick next attempt. */
const STEADY_MS = 5_000;

export class AgentLink {
  readonly #options: AgentLinkOptions;
  readonly #abort = new AbortController();
  readonly #changed = new Notifier();
  #session: AgentSession | undefined;
  #loop: Promise<void> | undefined;
  #held: Promise<void> | undefined;
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
      return await until(this.#changed, () => this.#session, AbortSignal.any(signals));
    } catch (error) {
      options.signal?.throwIfAborted();
      throw new KilnError(Code.Unavailable, `the agent of VM ${this.#options.name} does not answer`, {
        reason: "agent-unreachable",
        hint: "see `kiln logs --console`; `kiln restart` starts the VM anew",
        cause: error,
      });
    }
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
    let pause = FIRST_DELAY_MS;
    let session = first;
    while (!this.#abort.signal.aborted) {
      try {
        session ??= await this.#open();
        const opened = Date.now();
        await this.#serve(session);
        if (Date.now() - opened >= STEADY_MS) pause = FIRST_DELAY_MS;
      } catch (error) {
        if (this.#abort.signal.aborted) return;
        this.#options.log.debug("the agent can't be reached", { why: KilnError.from(error).message });
      }
      session = undefined;
      await delay(pause, this.#abort.signal).catch(() => undefined);
      pause = Math.min(pause * 2, LONGEST_DELAY_MS);
    }
    await session?.close();
  }

  async #open(): Promise<AgentSession> {
    await this.#held;
    this.#abort.signal.throwIfAborted();
    return this.#options.open(this.#abort.signal);
  }

  async #serve(session: AgentSession): Promise<void> {
    this.#session = session;
    this.#changed.notify();
    this.#options.onSession(session);
    const why = await session.closed;
    this.#session = undefined;
    if (!this.#abort.signal.aborted) this.#options.log.debug("the agent's session ended", { why });
  }
}
