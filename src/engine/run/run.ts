// One run of a VM: from the moment that a start, a reboot or a takeover begins until its end is written down. It holds
// what is wanted of it in one place, so that a verb, a lifetime and the guest itself never work against one another.

import { Code, KilnError } from "../../base/errors.js";
import { failpoint } from "../../base/failpoint.js";
import { type Deferred, deferred } from "../../base/runtime.js";
import type { Intent } from "../vm/end.js";
import type { VmEntry } from "../vm/entry.js";
import { lifetimeOver } from "../vm/lifetime.js";
import type { BootStage, RunStage, RunView } from "../vm/run-view.js";
import type { VmStatus } from "../vm/status.js";
import type { LiveVm } from "./live-vm.js";

/** How a run comes to be. A start is the user's, who hears why it fails; after all others the policy is asked. */
export type Way = "start" | "policy" | "reboot" | "takeover";

/** What is wanted goes up alone: a stop takes no kill back, and the guest's end is none where a user wants it. */
const RANKS: Readonly<Record<Intent, number>> = { run: 0, halted: 1, lost: 1, stop: 2, expire: 3, kill: 4 };

export class Run implements RunView {
  readonly entry: VmEntry;
  readonly way: Way;
  readonly #abort = new AbortController();
  readonly #ended: Deferred<void> = deferred();
  #intent: Intent;
  #why = "";
  #stage: RunStage;
  #live: LiveVm | undefined;

  private constructor(entry: VmEntry, way: Way) {
    this.entry = entry;
    this.way = way;
    this.#stage = way === "takeover" ? "reach" : "prepare";
    this.#intent = way === "takeover" ? intentOf(entry.status) : "run";
  }

  /** The entry has it before anything is awaited: a stop that comes now finds something to give up. */
  static begin(entry: VmEntry, way: Way): Run {
    const run = new Run(entry, way);
    entry.run = run;
    return run;
  }

  get intent(): Intent {
    return this.#intent;
  }

  /** Why the agent is lost, where it is. */
  get why(): string {
    return this.#why;
  }

  get stage(): RunStage {
    return this.#stage;
  }

  get live(): LiveVm | undefined {
    return this.#live;
  }

  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** Aborts when its end is wanted: with why, for whoever waits for its start. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  want(intent: Exclude<Intent, "run">, why = ""): void {
    if (RANKS[intent] > RANKS[this.#intent]) {
      this.#intent = intent;
      this.#why = why;
    }
    if (RANKS[intent] < RANKS.stop) return;
    // Also where as much was wanted of the last kilnd already.
    this.#abort.abort(intent === "expire" ? lifetimeOver(this.entry) : stopped(this.entry));
  }

  enter(stage: BootStage): void {
    this.#stage = stage;
    this.entry.changed.notify();
    failpoint(`run.${stage}`);
  }

  lives(live: LiveVm): void {
    this.#stage = "live";
    this.#live = live;
    this.entry.changed.notify();
    failpoint("run.live");
  }

  /** The VM is nobody's. In the same step as its end or its next run, so that no verb finds one that is live and nobody's. */
  leave(): void {
    if (this.entry.run === this) this.entry.run = undefined;
  }

  /** Everything is written down. */
  over(): void {
    this.#ended.resolve();
  }
}

/** What the last kilnd was asked for. */
function intentOf({ stoppedByUser }: VmStatus): Intent {
  return stoppedByUser ? "stop" : "run";
}

function stopped({ name }: VmEntry): KilnError {
  return new KilnError(Code.Aborted, `VM ${name} was stopped while it started`, { reason: "killed" });
}
