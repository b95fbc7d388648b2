// The runs of VMs: start one, watch it, write down how it ended, bring it back where its policy or its guest says so.
// Verbs (vm-verbs.ts) and recovery (recovery.ts) call it; it alone makes and ends runs.

import type { AgentSession } from "../../agent/types.js";
import { KilnError } from "../../base/errors.js";
import { vmRunDirectory } from "../../base/paths.js";
import { delay } from "../../base/runtime.js";
import type { VmmExit } from "../../vmm/types.js";
import { runDirectoryOf } from "../host/run-directories.js";
import { GUEST_REBOOT, LIFETIME_OVER, START_INTERRUPTED } from "../vm/end.js";
import type { VmEntry } from "../vm/entry.js";
import { FAILED_EXIT_CODE, KILLED_EXIT_CODE } from "../vm/exit-codes.js";
import { isOver } from "../vm/lifetime.js";
import { decideRestart, nextDelay } from "../vm/restart-policy.js";
import { type Change, changeOf, isEnded, isLive } from "../vm/state.js";
import type { ReportedExit, Timings, VmStatus } from "../vm/status.js";
import { emitVmEvent } from "../vm/vm-events.js";
import type { Up } from "./boot.js";
import { programNotStarted } from "./boot-errors.js";
import { type EngineContext, isoNow, vmLogger } from "./context.js";
import type { LiveVm } from "./live-vm.js";
import { drive, type WayUp } from "./pipeline.js";
import { Run } from "./run.js";
import { acknowledge, exitOf, settle } from "./run-end.js";
import { watchStalls } from "./stalls.js";
import { inBackground, written } from "./tasks.js";
import { removeEnded } from "./vm-remove.js";

export class VmRunner {
  readonly #ctx: EngineContext;
  /** Told of every VM that begins to run or is found running. */
  onLive: (entry: VmEntry) => void = () => undefined;

  constructor(ctx: EngineContext) {
    this.#ctx = ctx;
  }

  /** kilnd is going: `ctx.closed` has aborted. No restart from now on, and all that runs is let go of; it goes on. */
  async close(): Promise<void> {
    const entries = this.#ctx.vms.list();
    for (const { restartAlarm, lifetimeAlarm } of entries) {
      restartAlarm.clear();
      lifetimeAlarm.clear();
    }
    await Promise.all(
      entries.map(async (entry) => {
        // What can't be let go of (a console's log on a full disk) goes with this process, and keeps no other.
        const tell = (error: unknown) => this.#notLetGo(entry, error);
        await entry.live?.detach().catch(tell);
        await entry.log.detach().catch(tell);
        await entry.settled();
      }),
    );
  }

  #notLetGo(entry: VmEntry, error: unknown): void {
    vmLogger(this.#ctx, entry).warn("the VM can't be let go of in order", {
      why: KilnError.from(error).message,
    });
  }

  /**
   * Starts a VM that is created or has ended. The caller holds its lock. Resolves once the program runs.
   *
   * @throws KilnError what the boot says; failed_precondition `program-not-started` with the program's exit code
   */
  async start(entry: VmEntry): Promise<void> {
    await this.#run(Run.begin(entry, "start"), 0);
  }

  /** Goes on with a boot that another kilnd has left (recovery). The caller holds the lock. Never rejects. */
  async resume(run: Run, found: LiveVm): Promise<void> {
    const { entry } = run;
    const asked = Date.parse(entry.status.launch?.at ?? "");
    try {
      await this.#up(run, async () => ({
        runDirectory: await runDirectoryOf(this.#ctx, entry),
        found,
        ...(Number.isNaN(asked) ? {} : { askedMs: asked }),
      }));
    } catch (error) {
      const why = KilnError.from(error).message;
      vmLogger(this.#ctx, entry).warn("the start that the last kilnd had begun failed", { why });
    }
  }

  /** Takes over a VM whose VMM was found alive (recovery): the same life from here on. */
  adopt(run: Run, live: LiveVm, session?: AgentSession): void {
    const { entry } = run;
    if (this.#ctx.closed.aborted) {
      inBackground(this.#ctx, entry, () => abandon(run, live));
      return;
    }
    run.lives(live);
    this.onLive(entry);
    live.link.start(session);
    watchStalls(this.#ctx, run, live);
    inBackground(this.#ctx, entry, () => this.#supervise(run, live));
    const { pulseMs } = this.#ctx.settings;
    inBackground(this.#ctx, entry, () => live.watchPulse(pulseMs, pulseMs));
  }

  /**
   * Writes down how a run ended, and in the same step whether and when the policy brings the VM back: a kilnd killed
   * right after has forgotten nothing.
   *
   * @param ranMs how long it had been running
   * @param goesOn it was coming up again as its kilnd went, and does so now: that is no restart of the policy's
   */
  async end(entry: VmEntry, change: EndChange, ranMs: number, goesOn = false): Promise<void> {
    const comeback = goesOn ? this.#again(entry) : this.#comeback(entry, change, ranMs);
    await written(this.#ctx, entry, entry.change(change, comeback));
    const { state, reason, message, exitCode } = entry.status;
    if (state === "failed") vmLogger(this.#ctx, entry).warn("the VM failed", { reason, message });
    emitVmEvent(this.#ctx, entry, "die", { reason, exitCode: String(exitCode) });
  }

  /** Does what `end` has written down: removes a `--rm` VM, sets the timer of a restart. */
  async afterEnd(entry: VmEntry): Promise<void> {
    const isDue = () => !this.#ctx.closed.aborted && hasEnded(entry);
    if (!isDue()) return;
    // First: a --rm VM has no policy, but its guest may be rebooting.
    if (entry.status.restartAt !== undefined) {
      // No longer than it was to wait, though the clock was set back meanwhile.
      const left = Date.parse(entry.status.restartAt) - this.#ctx.now();
      this.#armRestart(entry, Math.min(left, entry.status.restartDelayMs));
    } else if (entry.record.config.autoRemove) {
      // Somebody may have started it while this waited for its turn: what runs is not removed.
      await this.#ctx.lock.run(entry.id, async () => void (isDue() && (await removeEnded(this.#ctx, entry))));
    }
  }

  /** Brings an ended VM up soon, whatever its policy says. */
  async bringUp(entry: VmEntry): Promise<void> {
    await written(this.#ctx, entry, entry.note({ restartAt: isoNow(this.#ctx) }));
    this.#armRestart(entry, 0);
  }

  /** @param delayMs how long to wait before it boots */
  async #run(run: Run, delayMs: number): Promise<void> {
    const ctx = this.#ctx;
    const { entry, signal } = run;
    entry.restartAlarm.clear();
    await this.#up(run, async () => {
      const runDirectory = vmRunDirectory(ctx.runRoot, entry.id);
      const boot = entry.status.boot + 1;
      const unasked = run.way !== "start";
      await entry.change({ to: "starting", at: isoNow(ctx), boot, runDirectory, unasked });
      await delay(delayMs, signal);
      await entry.log.begin(entry.status.boot);
      return { runDirectory };
    });
    if (entry.state !== "starting" || run.live === undefined) return;
    await run.ended;
    throw programNotStarted(entry);
  }

  /** Resolves once its guest is up. @throws KilnError why it is not, which is written down */
  async #up(run: Run, plan: () => Promise<WayUp>): Promise<void> {
    try {
      await drive(this.#ctx, run, await plan(), (up, timings) => this.#begin(run, up, timings));
    } catch (error) {
      throw await this.#startFailed(run, error);
    } finally {
      if (run.live === undefined) run.leave();
    }
  }

  async #begin(run: Run, { machine, session, programRuns }: Up, timings: Timings): Promise<void> {
    const { entry } = run;
    const { live } = machine;
    const facts = { timings, ports: live.ports.bindings };
    if (programRuns) {
      await entry.change({ to: "running", at: isoNow(this.#ctx) }, facts);
      emitVmEvent(this.#ctx, entry, "start");
    } else {
      await entry.note(facts);
    }
    this.adopt(run, live, session);
  }

  async #startFailed({ entry, signal, intent, way }: Run, error: unknown): Promise<KilnError> {
    const known = KilnError.from(error, `start VM ${entry.name}`);
    await written(this.#ctx, entry, entry.log.end());
    const at = isoNow(this.#ctx);
    if (signal.aborted) {
      const reason = intent === "expire" ? LIFETIME_OVER : "killed";
      await this.end(entry, { to: "exited", at, exitCode: KILLED_EXIT_CODE, reason }, 0);
    } else {
      // A start that a user asked for fails to their face; one of the policy's is tried again.
      const { reason, message } = known;
      const change: EndChange = { to: "failed", at, reason, message };
      if (way === "start") await written(this.#ctx, entry, entry.change(change));
      else await this.end(entry, change, 0);
    }
    // In the background: whoever is attached reads on until it has heard of the failure, and we hold the lock.
    if (entry.record.config.autoRemove) inBackground(this.#ctx, entry, () => this.afterEnd(entry));
    return known;
  }

  async #supervise(run: Run, live: LiveVm): Promise<void> {
    const { entry } = run;
    const exited = exitOf(live.handle);
    const report = await Promise.race([live.report.promise, exited.then(() => undefined)]);
    // A kilnd that is going writes nothing any more: the next one learns of this end by itself.
    if (this.#ctx.closed.aborted) return;
    // Whatever goes wrong from here on is told, and the VM has ended all the same.
    if (report !== undefined) {
      await acknowledge(this.#ctx, entry, live, report).catch((error: unknown) =>
        this.#flawedEnd(entry, error),
      );
    }
    const exit = await exited;
    if (this.#ctx.closed.aborted) return;
    // A guest whose end is on record already, and that was let go of for it, says nothing to the next kilnd.
    const known = report ?? entry.status.exit;
    const again = await this.#finish(run, live, exit, known).catch(async (error: unknown) => {
      const { reason, message } = this.#flawedEnd(entry, error);
      run.leave();
      if (isLive(entry.state))
        await this.end(entry, { to: "failed", at: isoNow(this.#ctx), reason, message }, 0);
      return false;
    });
    run.over();
    if (!again) await this.afterEnd(entry);
  }

  #flawedEnd(entry: VmEntry, error: unknown): KilnError {
    const known = KilnError.from(error, `end VM ${entry.name}`);
    vmLogger(this.#ctx, entry).error("the VM's end went wrong", { why: known.message });
    return known;
  }

  /** @returns true where the guest asked for a reboot, which is then under way */
  async #finish(run: Run, live: LiveVm, exit: VmmExit, report: ReportedExit | undefined): Promise<boolean> {
    const ctx = this.#ctx;
    const { entry } = run;
    const judge = await settle(ctx, run, live, exit, report);
    // In the same step as what becomes of it: a stop that came while it was let go of is heard.
    const verdict = judge();
    if (verdict.kind === "reboot" && !ctx.closed.aborted) {
      this.#reboot(entry);
      return true;
    }
    await written(this.#ctx, entry, entry.log.end());
    // In the same step as the end, so that no verb finds a VM that is live and nobody's.
    run.leave();
    const change = changeOf(verdict, isoNow(ctx), report?.oomKilled ?? false);
    await this.end(entry, change, ranMs(entry, ctx.now()), verdict.kind === "reboot");
    return false;
  }

  /**
   * The guest rebooted: the same VM again, its policy not asked. A reboot loop is slowed like a crash loop. The next run
   * takes the place of this one before anything is awaited, so that a stop that comes now finds something to give up.
   */
  #reboot(entry: VmEntry): void {
    const delayMs = nextDelay(entry.status.restartDelayMs, ranMs(entry, this.#ctx.now()));
    emitVmEvent(this.#ctx, entry, "reboot");
    const run = Run.begin(entry, "reboot");
    inBackground(this.#ctx, entry, async () => {
      await written(this.#ctx, entry, entry.note({ restartDelayMs: delayMs }));
      await this.#ctx.lock.run(entry.id, () => this.#runAlone(run, delayMs));
      if (entry.state === "failed") await this.afterEnd(entry);
    });
  }

  /** A start nobody waits for. */
  async #runAlone(run: Run, delayMs: number): Promise<void> {
    try {
      await this.#run(run, delayMs);
    } catch (error) {
      vmLogger(this.#ctx, run.entry).warn("the restart failed", { why: KilnError.from(error).message });
    }
  }

  /** What the policy makes of an end: facts for the status. */
  #comeback(entry: VmEntry, change: EndChange, ran: number): Partial<VmStatus> {
    const { status, record } = entry;
    if (entry.recordFlaw !== undefined || isOver(entry, this.#ctx.now())) return {};
    const verdict = decideRestart({
      policy: record.config.restart,
      exitCode: change.to === "failed" ? FAILED_EXIT_CODE : change.exitCode,
      restartCount: status.restartCount,
      stoppedByUser: status.stoppedByUser,
      ranMs: ran,
      previousDelayMs: status.restartDelayMs,
    });
    if (!verdict.restart) return {};
    return this.#after(verdict.delayMs);
  }

  #again(entry: VmEntry): Partial<VmStatus> {
    const { status, recordFlaw } = entry;
    const nowMs = this.#ctx.now();
    if (recordFlaw !== undefined || status.stoppedByUser || isOver(entry, nowMs)) return {};
    return this.#after(nextDelay(status.restartDelayMs, ranMs(entry, nowMs)));
  }

  #after(delayMs: number): Partial<VmStatus> {
    return { restartAt: new Date(this.#ctx.now() + delayMs).toISOString(), restartDelayMs: delayMs };
  }

  #armRestart(entry: VmEntry, delayMs: number): void {
    entry.restartAlarm.after(delayMs, () => inBackground(this.#ctx, entry, () => this.#restart(entry)));
  }

  async #restart(entry: VmEntry): Promise<void> {
    await this.#ctx.lock.run(entry.id, async () => {
      const { status } = entry;
      const due = status.restartAt !== undefined && isEnded(status.state);
      if (this.#ctx.closed.aborted || entry.removing || !due) return;
      if (entry.recordFlaw !== undefined) return entry.forget("restartAt");
      const isNew = !CUT.has(status.reason);
      if (isNew) await written(this.#ctx, entry, entry.note({ restartCount: status.restartCount + 1 }));
      await this.#runAlone(Run.begin(entry, isNew ? "policy" : "reboot"), 0);
    });
    if (entry.state === "failed") await this.afterEnd(entry);
  }
}

function hasEnded({ removing, restarts, state }: VmEntry): boolean {
  return !removing && restarts === 0 && isEnded(state);
}

/** A boot that was under way when kilnd went: the next one finishes it. */
async function abandon(run: Run, live: LiveVm): Promise<void> {
  run.over();
  await live.detach();
  await run.entry.log.detach();
}

/** Reasons of an end that was kilnd's: what comes after it is no restart of the policy's, which has counted its own. */
const CUT: ReadonlySet<string> = new Set([GUEST_REBOOT, START_INTERRUPTED]);

type EndChange = Extract<Change, { to: "exited" | "failed" }>;

function ranMs({ status }: VmEntry, nowMs: number): number {
  return status.startedAt === undefined ? 0 : Math.max(0, nowMs - Date.parse(status.startedAt));
}
