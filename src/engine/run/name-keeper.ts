// Keeps the names of others in /etc/hosts of VMs that run, where no resolver tells them: as soon as one comes, goes or changes
// its networks, and once for each VM that kilnd finds running.

import type { HostLine } from "../../agent/index.js";
import { hasReason, KilnError } from "../../base/errors.js";
import { delay } from "../../base/runtime.js";
import { neighboursOf } from "../networks/neighbours.js";
import type { VmEntry } from "../vm/entry.js";
import type { RunView } from "../vm/run-view.js";
import { isLive } from "../vm/state.js";
import { type EngineContext, vmLogger } from "./context.js";

/** A guest that is paused is heard when it goes on. */
const SESSION_MS = 2 ** 31 - 1;
const CALL_MS = 15_000;
/** After a call that failed. */
const PAUSE_MS = 1_000;

/** What a guest is to have now; undefined where its resolver tells it all. */
export function namesFor(ctx: EngineContext, { record }: VmEntry): HostLine[] | undefined {
  const running = () => ctx.vms.list().filter(({ state }) => isLive(state));
  return neighboursOf(record, () => running().map((entry) => entry.record), ctx);
}

export class NameKeeper {
  readonly #ctx: EngineContext;
  /** What each run's guest was told last, as JSON. */
  readonly #told = new WeakMap<RunView, string>();
  readonly #telling = new WeakSet<RunView>();
  #isDue = false;

  constructor(ctx: EngineContext) {
    this.#ctx = ctx;
  }

  /** Somebody is on a network, or is not any more. */
  changed(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    // Whoever calls is still about it.
    setImmediate(() => {
      this.#isDue = false;
      for (const entry of this.#ctx.vms.list()) this.follow(entry);
    });
  }

  /** Tells one VM, if it runs and lacks something. */
  follow(entry: VmEntry): void {
    const { run } = entry;
    if (run === undefined || this.#telling.has(run) || this.#ctx.closed.aborted) return;
    if (run.live === undefined || !this.#lacks(entry, run)) return;
    this.#telling.add(run);
    void this.#tell(entry, run).finally(() => this.#telling.delete(run));
  }

  /** What a guest was told by another kilnd is not known: it is told again. */
  #lacks(entry: VmEntry, run: RunView): boolean {
    const names = namesFor(this.#ctx, entry);
    const told = this.#told.get(run) ?? (names === undefined ? "[]" : "");
    return JSON.stringify(names ?? []) !== told;
  }

  /** Until the guest has what it is to have, or is gone. Never rejects. */
  async #tell(entry: VmEntry, run: RunView): Promise<void> {
    const ended = new AbortController();
    void run.ended.then(() => ended.abort());
    const signal = AbortSignal.any([ended.signal, this.#ctx.closed]);
    while (!signal.aborted && entry.run === run && this.#lacks(entry, run)) {
      try {
        await this.#tellOnce(entry, run, signal);
      } catch (error) {
        if (hasReason(error, "agent-too-old")) {
          vmLogger(this.#ctx, entry).debug("the guest's agent keeps no names");
          return;
        }
        vmLogger(this.#ctx, entry).debug("the guest can't be told the names of others", {
          why: KilnError.from(error).message,
        });
        await delay(PAUSE_MS, signal).catch(() => undefined);
      }
    }
  }

  async #tellOnce(entry: VmEntry, run: RunView, signal: AbortSignal): Promise<void> {
    const session = await run.live?.link.session({ timeoutMs: SESSION_MS, signal });
    if (session === undefined) return;
    const names = namesFor(this.#ctx, entry) ?? [];
    await session.machine.setNames(names, { timeoutMs: CALL_MS, signal });
    this.#told.set(run, JSON.stringify(names));
  }
}
