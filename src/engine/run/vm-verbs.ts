// What users do to VMs: start, stop, kill, restart, pause, unpause, remove, wait. Each verb takes the VM's lock, but
// for kill, which must work while a stop is waiting. Runs themselves are vm-runner.ts's.

import { isRefusal } from "../../agent/index.js";
import type { AgentSession } from "../../agent/types.js";
import { KilnError } from "../../base/errors.js";
import type { Abortable } from "../../base/progress.js";
import { delay } from "../../base/runtime.js";
import { until } from "../common/notifier.js";
import { signalNumber } from "../common/signals.js";
import type { VmEntry } from "../vm/entry.js";
import { hasBegun, isOver } from "../vm/lifetime.js";
import { isBooting, type LiveView } from "../vm/run-view.js";
import { isEnded, isLive, requireState, type VmState } from "../vm/state.js";
import { checkLifetime } from "../vm/validate.js";
import { emitVmEvent } from "../vm/vm-events.js";
import { type EngineContext, isoNow, vmLogger } from "./context.js";
import { endRun } from "./run-end.js";
import { leftOfStop, stopAsk } from "./stop-ask.js";
import { inBackground, written } from "./tasks.js";
import { requireLive, requireWatched, runningSession, waitForTakeover } from "./vm-access.js";
import { removeEnded } from "./vm-remove.js";
import type { VmRunner } from "./vm-runner.js";

export interface StopOptions {
  /** Absent: the VM's own. */
  readonly timeoutMs?: number | undefined;
  /** Name or number; empty: the VM's own. */
  readonly signal?: string | undefined;
}

/** Why a VM is paused by another than its user. */
export interface PauseReason {
  /** Stable word; empty: the user's wish. */
  readonly reason: string;
  readonly message: string;
  /** Asked at its turn: false where it need not be any more. */
  readonly isDue?: () => boolean;
}

/** What a wait waits for. */
export type WaitCondition = "exited" | "running" | "removed";

/** What a guest may take beyond the stop time-out for its last output, sync and unmount. */
const TIDY_END_MS = 15_000;
/** Node's timers take more than 24 days for one millisecond, and gRPC's deadlines have eight digits. */
const LONGEST_STOP_MS = 24 * 3_600_000;
const AGENT_CALL_MS = 5_000;
const ASK_AGAIN_MS = 50;

export class VmVerbs {
  readonly #ctx: EngineContext;
  readonly #runner: VmRunner;

  constructor(ctx: EngineContext, runner: VmRunner) {
    this.#ctx = ctx;
    this.#runner = runner;
  }

  /** Fine on a running VM. Goes on when the caller gives up: half-started VMs help nobody. */
  async start(entry: VmEntry): Promise<void> {
    await this.#ctx.lock.run(entry.id, async () => {
      entry.requireHere();
      if (entry.state === "running") return;
      requireState("start", entry.name, entry.state, ["created", "exited", "failed"]);
      entry.requireRecord("start");
      await entry.forget("restartAt", "expiresAt");
      await entry.note({ restartCount: 0, restartDelayMs: 0, stoppedByUser: false });
      await this.#runner.start(entry);
    });
  }

  /** Graceful: signal, time-out, SIGKILL in the guest; a guest that ignores all that loses its VMM. */
  async stop(entry: VmEntry, options: StopOptions = {}): Promise<void> {
    const signal =
      options.signal === undefined || options.signal === "" ? undefined : signalNumber(options.signal);
    await this.#halted(entry, async () => {
      await this.#stop(entry, signal, options.timeoutMs ?? entry.record.config.stopTimeoutMs);
    });
  }

  /** Stops a VM whose lifetime is over; one that has been started anew meanwhile is left alone. */
  async expire(entry: VmEntry): Promise<void> {
    const stop = async () => {
      if (!isOver(entry, this.#ctx.now())) return;
      await this.#stop(entry, undefined, entry.record.config.stopTimeoutMs, "expire");
    };
    await this.#halted(entry, stop, "expire");
  }

  /** Goes on with the stop of a VM that the last kilnd was asked for. */
  async goOnStopping(entry: VmEntry): Promise<void> {
    // Without the lock, which a VMM that answers late needs so as to be taken over.
    const patience = Math.max(leftOfStop(entry, this.#ctx.now()).timeoutMs, AGENT_CALL_MS);
    const timeoutMs = Math.min(patience, LONGEST_STOP_MS);
    await entry.live?.link.session({ timeoutMs }).catch(() => undefined);
    await this.#ctx.lock.run(entry.id, async () => {
      // Its lifetime's end is its timer's, and a user may have been quicker.
      if (entry.state !== "stopping" || isOver(entry, this.#ctx.now())) return;
      const left = leftOfStop(entry, this.#ctx.now());
      await this.#stop(entry, left.signal, left.timeoutMs);
    });
  }

  /**
   * Gives a VM another lifetime: of one that runs from now, and from every later start. A start or stop that is under way
   * ends first; where a lifetime's end came before, it stays.
   *
   * @param ms 0: none
   * @throws KilnError invalid_argument `bad-lifetime`, failed_precondition `record-damaged`, not_found `vm-not-found`
   */
  async setLifetime(entry: VmEntry, ms: number): Promise<void> {
    checkLifetime(ms);
    await this.#ctx.lock.run(entry.id, async () => {
      const { record } = entry;
      await entry.setRecord({ ...record, config: { ...record.config, lifetimeMs: ms } });
      if (hasBegun(entry.status)) {
        if (ms === 0) await entry.forget("expiresAt");
        else await entry.note({ expiresAt: new Date(this.#ctx.now() + ms).toISOString() });
        this.#runner.onLive(entry);
      }
      emitVmEvent(this.#ctx, entry, "update", { lifetimeMs: String(ms) });
    });
  }

  async restart(entry: VmEntry, options: StopOptions = {}): Promise<void> {
    entry.restarts++;
    try {
      await this.stop(entry, options);
      await this.start(entry);
    } finally {
      entry.restarts--;
      inBackground(this.#ctx, entry, () => this.#runner.afterEnd(entry));
    }
  }

  /**
   * Ends the VM at once, whatever it or a waiting stop is doing.
   *
   * @throws KilnError failed_precondition where it does not run
   */
  async kill(entry: VmEntry): Promise<void> {
    if (!isLive(entry.state)) requireState("kill", entry.name, entry.state, ["running"]);
    await written(this.#ctx, entry, entry.note({ stoppedByUser: true }));
    while (isLive(entry.state)) {
      const { run } = entry;
      run?.want("kill");
      if (run?.live !== undefined) {
        await endRun(entry, run);
      } else if (isBooting(run)) {
        await until(entry.changed, () => (entry.run === run && isBooting(run) ? undefined : true));
      } else {
        await waitForTakeover(entry);
        requireWatched(entry, "kill");
      }
    }
  }

  /** Sends a signal to the program. KILL ends the VM. */
  async signal(entry: VmEntry, name: string): Promise<void> {
    const number = name === "" ? signalNumber("KILL") : signalNumber(name);
    if (number === signalNumber("KILL")) return this.kill(entry);
    const session = await runningSession(entry, "signal");
    if (number === entry.record.program.stopSignal)
      await written(this.#ctx, entry, entry.note({ stoppedByUser: true }));
    try {
      await session.workloads.main.signal(number, { timeoutMs: AGENT_CALL_MS });
    } catch (error) {
      throw KilnError.from(error, `send signal ${number} to VM ${entry.name}`);
    }
  }

  /** @param why where it is not the user who pauses */
  async pause(entry: VmEntry, why: PauseReason = { reason: "", message: "" }): Promise<void> {
    await this.#ctx.lock.run(entry.id, async () => {
      if (why.isDue?.() === false) return;
      const live = requireLive(entry, "pause", ["running"]);
      await live.handle.pause();
      if (entry.live !== live || entry.state !== "running") return; // it ended meanwhile
      live.link.hold();
      await written(
        this.#ctx,
        entry,
        entry.change({ to: "paused", reason: why.reason }, { message: why.message }),
      );
      emitVmEvent(this.#ctx, entry, "pause", why.reason === "" ? {} : { reason: why.reason });
    });
  }

  /** @param isDue asked at its turn: false where it is to stay as it is; default: always */
  async unpause(entry: VmEntry, isDue: () => boolean = () => true): Promise<void> {
    await this.#ctx.lock.run(entry.id, async () => {
      if (isDue()) await this.#unpause(entry);
    });
  }

  /**
   * @param force ends it first; @param volumes as removeEnded's
   * @throws KilnError failed_precondition `vm-<state>`
   */
  async remove(entry: VmEntry, force: boolean, volumes = false): Promise<void> {
    if (!force) {
      const inTheWay = await this.removeEnded(entry, volumes);
      if (inTheWay !== undefined) requireState("remove", entry.name, inTheWay, []);
      return;
    }
    this.#expectNobody(entry);
    if (entry.run?.stage === "reach") entry.run.want("kill");
    await this.#cutShort(entry);
    await this.#halted(entry, async () => {
      if (entry.removing) return;
      requireWatched(entry, "remove");
      if (entry.run?.live !== undefined) await endRun(entry, entry.run);
      await removeEnded(this.#ctx, entry, volumes);
    });
  }

  /** @returns the state of one that runs, be it that it was started while this waited for its turn; it stays */
  async removeEnded(entry: VmEntry, volumes = false): Promise<VmState | undefined> {
    if (isLive(entry.state)) return entry.state;
    this.#expectNobody(entry);
    return this.#ctx.lock.run(entry.id, async () => {
      if (isLive(entry.state)) return entry.state;
      await removeEnded(this.#ctx, entry, volumes);
      return undefined;
    });
  }

  /** Whoever wants it gone waits for no client that may come back. */
  #expectNobody(entry: VmEntry): void {
    entry.followers.missed = 0;
    entry.changed.notify();
  }

  /** A stop that is under way holds the lock for as long as the program may take. */
  async #cutShort({ state, run }: VmEntry): Promise<void> {
    if (state !== "stopping" || run?.live === undefined) return;
    run.want("kill");
    await run.live.handle.kill();
  }

  /**
   * Resolves when the condition holds; "exited" at once for a VM that has ended, and for one that is gone.
   */
  async wait(entry: VmEntry, condition: WaitCondition, options: Abortable = {}): Promise<void> {
    const holds = () => {
      if (entry.removed) return true;
      if (condition === "exited") return isEnded(entry.state);
      return condition === "running" && (entry.state === "running" || isEnded(entry.state));
    };
    await until(entry.changed, () => (holds() ? true : undefined), options.signal);
  }

  /** Runs with the lock held and no start under way; a start that is under way is given up. */
  async #halted(
    entry: VmEntry,
    body: () => Promise<void>,
    intent: "stop" | "expire" = "stop",
  ): Promise<void> {
    for (let done = false; !done; ) {
      if (isBooting(entry.run)) entry.run.want(intent);
      await until(entry.changed, () => (isBooting(entry.run) ? undefined : true));
      await this.#ctx.lock.run(entry.id, async () => {
        if (isBooting(entry.run)) return; // one slipped in before us
        entry.restartAlarm.clear();
        await body();
        // Its guest has asked for a reboot just before it was asked to stop.
        done = !isBooting(entry.run);
      });
    }
  }

  async #stop(
    entry: VmEntry,
    signal: number | undefined,
    timeoutMs: number,
    why: "stop" | "expire" = "stop",
  ): Promise<void> {
    if (entry.removing) return;
    requireWatched(entry, "stop");
    if (!entry.status.stoppedByUser) await written(this.#ctx, entry, entry.note({ stoppedByUser: true }));
    if (entry.status.restartAt !== undefined) await written(this.#ctx, entry, entry.forget("restartAt"));
    if (entry.live === undefined) return;
    if (entry.state === "paused") await this.#unpause(entry);
    const { run } = entry;
    if (run?.live === undefined) return;
    run.want(why);
    const limitMs = Math.min(timeoutMs, LONGEST_STOP_MS);
    const number = signal ?? entry.record.program.stopSignal;
    if (entry.state === "running") {
      const stop = stopAsk(number, limitMs, this.#ctx.now());
      await written(this.#ctx, entry, entry.change({ to: "stopping" }, { stop }));
    }
    const asked = await this.#askToStop(entry, run.live, number, limitMs);
    const stop = new AbortController();
    const patience = asked ? limitMs + TIDY_END_MS : 0;
    await Promise.race([run.ended, delay(patience, stop.signal).catch(() => undefined)]);
    stop.abort();
    await run.live.handle.kill();
    await run.ended;
    emitVmEvent(this.#ctx, entry, "stop");
  }

  /**
   * Asks for as long as the program may take to stop: a session that has just broken is opened again, a call whose
   * answer was lost is made again (at worst a second signal), and its VMM is ended only where no agent is left to ask.
   *
   * @returns false where the agent can't be asked: only the VMM can be ended then
   */
  async #askToStop(entry: VmEntry, live: LiveView, signal: number, timeoutMs: number): Promise<boolean> {
    const until = Date.now() + Math.max(timeoutMs, AGENT_CALL_MS);
    let session: AgentSession | undefined;
    for (;;) {
      const left = Math.max(1, until - Date.now());
      try {
        session = await live.link.session({ timeoutMs: left });
        await session.workloads.main.stop(signal, timeoutMs, { timeoutMs: left });
        return true;
      } catch (error) {
        if (entry.live !== live) return true; // it has ended meanwhile
        // The one before was heard, or the program was quicker: its guest ends by itself.
        if (session !== undefined && isRefusal(error) && (await hasEnded(session))) return true;
        if (isRefusal(error) || Date.now() >= until) {
          const why = KilnError.from(error, `stop VM ${entry.name}`).message;
          vmLogger(this.#ctx, entry).warn("the guest can't be asked to stop, so its VMM is ended", { why });
          return false;
        }
      }
      await delay(ASK_AGAIN_MS);
    }
  }

  async #unpause(entry: VmEntry): Promise<void> {
    const live = requireLive(entry, "unpause", ["paused"]);
    await live.handle.resume();
    live.link.resume();
    if (entry.live !== live || entry.state !== "paused") return;
    await written(this.#ctx, entry, entry.change({ to: "running", at: isoNow(this.#ctx) }));
    emitVmEvent(this.#ctx, entry, "unpause");
    await live.goOn();
  }
}

async function hasEnded(session: AgentSession): Promise<boolean> {
  try {
    return (await session.machine.state({ timeoutMs: AGENT_CALL_MS })).hasEnded;
  } catch {
    return false;
  }
}
