// Signals of an attached client. One that asks for the end is followed until the program has ended: a guest that does
// not take it, or falls silent behind it, must not keep the client waiting for ever.

import { isRefusal } from "../../agent/index.js";
import { Code, KilnError } from "../../base/errors.js";
import { delay } from "../../base/runtime.js";
import { type EngineContext, vmLogger } from "../run/context.js";
import { stallOf } from "../run/vm-access.js";
import type { VmVerbs } from "../run/vm-verbs.js";
import type { VmEntry } from "../vm/entry.js";
import type { LiveView } from "../vm/run-view.js";
import { isLive } from "../vm/state.js";
import { asksForEnd, GuestVigil } from "./guest-vigil.js";

export interface AttachedSignalsOptions {
  readonly ctx: EngineContext;
  readonly verbs: VmVerbs;
  readonly entry: VmEntry;
  /** Told, with the error for the client, when nobody takes what asks for the end. Must not throw. */
  readonly onUnheard: (error: KilnError) => void;
  /** Ends it. */
  readonly signal: AbortSignal;
}

export class AttachedSignals {
  readonly #options: AttachedSignalsOptions;
  /** Of one boot: the next one was asked for nothing. */
  #watch: { readonly live: LiveView; readonly vigil: GuestVigil } | undefined;

  constructor(options: AttachedSignalsOptions) {
    this.#options = options;
  }

  /** Passes it on. Never rejects: who has to hear of a failure is told. */
  async send(name: string): Promise<void> {
    const { ctx, verbs, entry } = this.#options;
    const { live } = entry;
    try {
      await verbs.signal(entry, name);
      // Not the one from before: a boot that is taken over, or begins, is waited for.
      if (entry.live !== undefined) this.#vigil(entry.live).sent(name);
    } catch (error) {
      vmLogger(ctx, entry).debug("signal refused", { why: KilnError.from(error).message });
      if (isAnswer(error) || !asksForEnd(name)) return;
      this.#doubt(live, KilnError.from(error)).catch(() => undefined); // the client has left
    }
  }

  /** What could not be sent to a VM that is about to end need not be. */
  async #doubt(live: LiveView | undefined, error: KilnError): Promise<void> {
    const { ctx, entry, signal } = this.#options;
    await delay(ctx.settings.heardMs, signal);
    if (this.#goesOn(live)) this.#options.onUnheard(notTaken(entry, error));
  }

  #goesOn(live: LiveView | undefined): boolean {
    const { entry } = this.#options;
    return isLive(entry.state) && entry.live === live && live?.hasReport !== true;
  }

  #vigil(live: LiveView): GuestVigil {
    const { ctx, entry, onUnheard, signal } = this.#options;
    if (this.#watch?.live === live) return this.#watch.vigil;
    const vigil = new GuestVigil({
      hear: (ms) => hear(live, ms, signal),
      heardMs: ctx.settings.heardMs,
      mayListen: () => entry.state !== "paused" || stallOf(entry) !== undefined,
      onDeaf: (why) => {
        if (this.#goesOn(live)) onUnheard(notHeard(entry, "attach to", why));
      },
      signal,
    });
    this.#watch = { live, vigil };
    return vigil;
  }
}

/** A session that has just broken is opened again; one of a VM that ends is not, and its end is told elsewhere. */
async function hear(live: LiveView, ms: number, signal: AbortSignal): Promise<void> {
  const once = async () => void (await (await live.link.session({ signal, timeoutMs: ms })).ping(ms));
  await once().catch(async () => {
    await delay(ms, signal);
    await once();
  });
}

/** The signal is none, or the agent lives and has said no: the program has ended, mostly. */
function isAnswer(error: unknown): boolean {
  return error instanceof KilnError && (error.code === Code.InvalidArgument || isRefusal(error.cause));
}

/** The guest was silent to one who has asked for the end: no outage to them, which they would wait out. */
export function notHeard(entry: VmEntry, what: string, cause: unknown): KilnError {
  const text = `${what} VM ${entry.name}: after a signal its guest gave no sign of life; the program may live on`;
  return new KilnError(Code.DeadlineExceeded, text, {
    reason: "agent-silent",
    hint: `see \`kiln logs --console ${entry.name}\`; \`kiln kill ${entry.name}\` ends the VM`,
    cause,
  });
}

function notTaken(entry: VmEntry, error: KilnError): KilnError {
  if (error.code !== Code.FailedPrecondition) return notHeard(entry, "attach to", error);
  return new KilnError(error.code, `a signal did not reach the program: ${error.message}`, {
    reason: error.reason,
    hint: `\`kiln stop ${entry.name}\` ends the VM, \`kiln kill ${entry.name}\` does at once`,
    cause: error,
  });
}
