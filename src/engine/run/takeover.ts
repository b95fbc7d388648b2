// What kilnd does second: takes the VMs over that live. A VMM that answers late costs nobody anything: few are asked at the
// same time, the VM is watched and can be ended meanwhile, and its VMM is asked again until it answers or has ended.

import { orAborted } from "../../base/abort.js";
import { Code, hasReason, KilnError } from "../../base/errors.js";
import { Semaphore } from "../../base/lock.js";
import { delay } from "../../base/runtime.js";
import { UndoStack } from "../../base/undo.js";
import type { VmmHandle, VmmRecord, VmmSpec } from "../../vmm/types.js";
import { portsOfRunning } from "../attach/ports.js";
import type { AttachmentSet } from "../attach/set.js";
import { runDirectoryOf } from "../host/run-directories.js";
import { LIFETIME_OVER } from "../vm/end.js";
import type { VmEntry } from "../vm/entry.js";
import { startsWithDaemon } from "../vm/restart-policy.js";
import { isEnded, isLive } from "../vm/state.js";
import { adoptAttached, adoptPorts, attachedTo, specOf } from "./attached.js";
import { type EngineContext, vmLogger } from "./context.js";
import { createLive } from "./create-live.js";
import { LateHandle } from "./late-handle.js";
import type { LiveVm } from "./live-vm.js";
import { STATUS_LOST, settleGone } from "./recovery.js";
import { Run } from "./run.js";
import { settleCards } from "./settle-cards.js";
import { settleMounts } from "./settle-mounts.js";
import { stageFor } from "./stage-for.js";
import type { VmRunner } from "./vm-runner.js";

/** The reason of a VM whose VMM can't be spoken to. */
const UNREACHABLE = "vmm-unreachable";

/**
 * Takes the living over, and lets policies and `--rm` have their way with the others. What fails for one VM is logged
 * and stops no other. Resolves once every VM that lives is watched.
 */
export async function resumeVms(ctx: EngineContext, runner: VmRunner): Promise<void> {
  const taking: Taking = { ctx, runner, slots: new Semaphore(ctx.settings.takeover.atOnce) };
  await Promise.all(
    ctx.vms.list().map(async (entry) => {
      try {
        // Verbs wait until the VM is ours: a stop that came in between would find nothing to stop.
        await ctx.lock.run(entry.id, () => takeOver(taking, entry));
        if (isEnded(entry.state)) await followUp(runner, entry);
      } catch (error) {
        await giveUp(taking, entry, KilnError.from(error, `take up VM ${entry.name}`));
      }
    }),
  );
}

interface Taking {
  readonly ctx: EngineContext;
  readonly runner: VmRunner;
  /** VMMs that are asked at this moment. */
  readonly slots: Semaphore;
}

async function takeOver(taking: Taking, entry: VmEntry): Promise<void> {
  const { ctx, runner } = taking;
  if (!isLive(entry.state) || entry.run !== undefined) return;
  const run = Run.begin(entry, "takeover");
  const at = stageFor(entry.status, undefined, false);
  const attached = attachedTo(ctx, entry, at === "live" ? portsOfRunning(entry) : entry.record.program.ports);
  const handle = at === "gone" ? undefined : await firstHandle(taking, run, attached);
  if (handle === undefined) {
    run.leave();
    return settleGone(ctx, runner, entry);
  }
  await entry.log.begin(entry.status.boot).catch((error: unknown) => {
    vmLogger(ctx, entry).error("the VM's output can't be stored", { why: KilnError.from(error).message });
  });
  await using undo = new UndoStack();
  const live = createLive(ctx, run, handle, attached);
  undo.push("let go of what is attached", () => attached.detach());
  // One that can't be spoken to yet comes to it once it is reached.
  if (!(handle instanceof LateHandle)) await adoptAttached(ctx, entry, attached, handle);
  if (at === "hello") {
    undo.commit();
    return runner.resume(run, live);
  }
  await settlePause(ctx, entry, handle);
  if (entry.state === "paused") live.link.hold();
  await adoptPorts(ctx, entry, live);
  undo.commit();
  runner.adopt(run, live);
  if (handle instanceof LateHandle) void askAgain(taking, run, handle, live);
  else settle(ctx, run, live);
}

/** What a killed kilnd was about. */
function settle(ctx: EngineContext, run: Run, live: LiveVm): void {
  void settleMounts(ctx, run, live);
  void settleCards(ctx, run, live);
}

/** Where the status was lost, the VMM is asked whether its guest was paused. */
async function settlePause(ctx: EngineContext, entry: VmEntry, handle: VmmHandle): Promise<void> {
  if (entry.status.reason !== STATUS_LOST || entry.state !== "running") return;
  try {
    if (await handle.isPaused()) await entry.change({ to: "paused", reason: STATUS_LOST });
  } catch (error) {
    vmLogger(ctx, entry).warn("whether the VM is paused is not known", {
      why: KilnError.from(error).message,
    });
  }
}

/** The handle of the VM's VMM, or a hold on it where it does not answer in time; undefined where it has ended. */
async function firstHandle(
  taking: Taking,
  run: Run,
  attached: AttachmentSet,
): Promise<VmmHandle | undefined> {
  const { entry, signal } = run;
  const { vmm } = entry.status;
  if (vmm === undefined) return undefined;
  try {
    return await reattach(taking, { entry, vmm, attached }, signal);
  } catch (error) {
    if (hasReason(error, "vmm-gone")) return undefined;
    const held = await holdOn(taking.ctx, run, KilnError.from(error));
    // A boot that can't go on has nothing to wait for.
    return held === undefined || entry.state === "starting" ? held : new LateHandle(held);
  }
}

interface Sought {
  readonly entry: VmEntry;
  readonly vmm: VmmRecord;
  readonly attached: AttachmentSet;
}

/** One attempt, its turn among the others included. @throws KilnError `vmm-gone`; what the driver says; `timeout` */
async function reattach({ ctx, slots }: Taking, sought: Sought, signal: AbortSignal): Promise<VmmHandle> {
  const { attemptMs } = ctx.settings.takeover;
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(tooLate(attemptMs)), attemptMs);
  const either = AbortSignal.any([signal, late.signal]);
  try {
    // A boot has no second attempt, so it waits for nobody: there are no more than may boot at the same time.
    const turn = sought.entry.state === "starting" ? AT_ONCE : slots;
    return await turn.run(async () => {
      const reached = reachVmm(ctx, sought, either);
      try {
        return await orAborted(reached, either);
      } catch (error) {
        // Nobody waits for it any more.
        reached.then((handle) => handle.detach()).catch(() => undefined);
        throw error;
      }
    }, either);
  } finally {
    clearTimeout(timer);
  }
}

const AT_ONCE: Pick<Semaphore, "run"> = { run: (body) => body() };

async function reachVmm(ctx: EngineContext, sought: Sought, signal: AbortSignal): Promise<VmmHandle> {
  const { vmm } = sought;
  return ctx.rooms.vmms.driver(vmm.driver).reattach(vmm, await runningSpec(ctx, sought), { signal });
}

function tooLate(attemptMs: number): KilnError {
  return new KilnError(Code.DeadlineExceeded, `its VMM did not answer within ${attemptMs / 1000} s`, {
    reason: "timeout",
  });
}

/** For as long as the VM lives on without its VMM's ear. Never rejects. */
async function askAgain(taking: Taking, run: Run, handle: LateHandle, live: LiveVm): Promise<void> {
  const { ctx } = taking;
  const { entry } = run;
  const { attached } = live;
  const { first, longest } = ctx.settings.takeover.pauses;
  const ended = new AbortController();
  void run.ended.then(() => ended.abort());
  const signal = AbortSignal.any([ended.signal, ctx.leaving]);
  for (let pause = first; ; pause = Math.min(pause * 2, longest)) {
    await delay(pause, signal).catch(() => undefined);
    if (signal.aborted) return;
    try {
      const real = await reattach(taking, { entry, vmm: handle.record, attached }, signal);
      return await ctx.lock.run(entry.id, () => takeLate(taking, { run, handle, real, live }));
    } catch (error) {
      // Of its end it is told by the hold.
      vmLogger(ctx, entry).debug("the VMM still can't be spoken to", { why: KilnError.from(error).message });
    }
  }
}

interface Late {
  readonly run: Run;
  readonly handle: LateHandle;
  readonly real: VmmHandle;
  readonly live: LiveVm;
}

async function takeLate({ ctx }: Taking, { run, handle, real, live }: Late): Promise<void> {
  const { entry } = run;
  if (entry.run !== run || ctx.leaving.aborted) return real.detach();
  await adoptAttached(ctx, entry, live.attached, real);
  if (entry.run !== run || ctx.leaving.aborted) return real.detach();
  await handle.become(real);
  vmLogger(ctx, entry).info("the VMM can be spoken to again");
  // Behind this verb's lock, which they take for themselves.
  settle(ctx, run, live);
  if (entry.status.reason !== UNREACHABLE) return;
  await entry.note({ reason: "", message: "" }).catch(() => undefined);
}

/** Whatever went wrong, a VM whose VMM lives runs on and can be ended. */
async function giveUp(taking: Taking, entry: VmEntry, why: KilnError): Promise<void> {
  const { ctx, runner } = taking;
  if (!isLive(entry.state) || entry.live !== undefined) return;
  const run = Run.begin(entry, "takeover");
  try {
    const held = await holdOn(ctx, run, why);
    if (held === undefined) {
      run.leave();
      return await settleGone(ctx, runner, entry);
    }
    const handle = new LateHandle(held);
    const attached = attachedTo(ctx, entry, portsOfRunning(entry));
    const live = createLive(ctx, run, handle, attached);
    await adoptPorts(ctx, entry, live);
    runner.adopt(run, live);
    void askAgain(taking, run, handle, live);
  } catch (error) {
    run.leave();
    vmLogger(ctx, entry).error("the end of the VM can't be written", { why: KilnError.from(error).message });
  }
}

/** A VMM that lives but can't be spoken to is watched, so that it is seen and can be ended. */
async function holdOn(ctx: EngineContext, run: Run, why: KilnError): Promise<VmmHandle | undefined> {
  const { entry } = run;
  const { vmm, consoleLog } = entry.status;
  if (vmm === undefined) return undefined;
  const handle = await ctx.rooms.vmms.hold(vmm, consoleLog, why.message);
  if (handle === undefined || run.signal.aborted) return handle;
  vmLogger(ctx, entry).error("the VMM can't be spoken to; it runs on", { why: why.message });
  const message = `it runs, but its VMM can't be spoken to: ${why.message}`;
  // Why a VM stands still is not forgotten: whatever has stopped it lets it go on.
  if (entry.state !== "paused") await entry.note({ reason: UNREACHABLE, message }).catch(() => undefined);
  return handle;
}

/** A VM that runs needs neither kernel nor disks to be taken over: their loss must not cost it. */
async function runningSpec(ctx: EngineContext, { entry, vmm, attached }: Sought): Promise<VmmSpec> {
  const directory = await runDirectoryOf(ctx, entry);
  const none = { kernel: { vmlinux: "" }, modules: undefined };
  const { kernel, modules } = await ctx.kernels.prepare(entry.record.kernelId).catch(() => none);
  const planned = attached.plan({ capabilities: vmm.capabilities, modules });
  return specOf(ctx, entry, directory, { kernel: kernel.vmlinux, initrd: "" }, planned);
}

/** Policies of VMs that are not running when kilnd starts. */
async function followUp(runner: VmRunner, entry: VmEntry): Promise<void> {
  const { status, record, recordFlaw } = entry;
  if (recordFlaw !== undefined) return runner.afterEnd(entry);
  const expired = status.reason === LIFETIME_OVER;
  const up = !expired && startsWithDaemon(record.config.restart, status.boot > 0, status.stoppedByUser);
  if (up && status.restartAt === undefined) await runner.bringUp(entry);
  else await runner.afterEnd(entry);
}
