// What kilnd does first: read the state on disk, look which VMMs live, and make both agree. A VM whose VMM lives is
// taken over where it was left, be it in the middle of a boot or of its end; everything else of a killed kilnd is
// finished or removed.

import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { basename, join } from "node:path";
import type { AgentSession } from "../agent/types.js";
import { hasReason, KilnError } from "../base/errors.js";
import { vmRunDirectory } from "../base/paths.js";
import { Phase } from "../gen/kiln/agent/v1/agent_pb.js";
import type { VmmExit, VmmHandle, VmmRecord } from "../vmm/types.js";
import { planSpec, type SpecFacts } from "./boot-plan.js";
import { type EngineContext, isoNow, vmLogger } from "./context.js";
import { judgeFound } from "./found-vmm.js";
import { LIFETIME_OVER } from "./lifetime.js";
import type { LiveVm } from "./live-vm.js";
import { reclaimDirectory } from "./reclaim.js";
import { startsWithDaemon } from "./restart-policy.js";
import { removeOrphans, runDirectoryOf } from "./run-directories.js";
import { callBoot, createLive, specFacts } from "./vm-boot.js";
import { makeEntry } from "./vm-create.js";
import { judgeEnd } from "./vm-end.js";
import type { VmEntry } from "./vm-entry.js";
import { lastBoot } from "./vm-load.js";
import type { VmRecord } from "./vm-record.js";
import type { VmRunner } from "./vm-runner.js";
import { changeOf, isEnded, isLive } from "./vm-state.js";
import type { VmStatus } from "./vm-status.js";
import type { LoadedVm } from "./vm-store.js";
import { type FoundVmm, findLaunched, findUnmarked, findVmms, isRecorded } from "./vmm-processes.js";

/**
 * First part, quick: fills the registry and settles the state of every VM whose VMM is gone. Afterwards lists and
 * names are right. Ends only VMMs of VMs that are no more, and of starts that were cut.
 */
export async function loadVms(ctx: EngineContext, runner: VmRunner): Promise<void> {
  const loaded = await ctx.store.load();
  await ctx.ownership.openPassage(ctx.store.root);
  const found = await findVmms(ctx);
  const gone: VmEntry[] = [];
  for (const vm of loaded) {
    await reclaimOf(ctx, vm.record.id);
    for (const remark of vm.remarks) ctx.log.warn("a VM's file is damaged", { vm: vm.record.id, remark });
    const { status, isGone } = await settleStatus(ctx, vm, found);
    const entry = makeEntry(ctx, vm.record, status, vm.recordFlaw);
    ctx.vms.add(entry);
    if (isGone) gone.push(entry);
    else if (status !== vm.status || !vm.statusIsSure) await rewriteStatus(ctx, entry);
  }
  const living = ctx.vms.list().filter((entry) => isLive(entry.state) && !gone.includes(entry));
  await removeOrphans(ctx, living, found);
  for (const entry of gone) await settleGone(ctx, runner, entry);
}

/** Earlier releases gave these directories to the VM's user. */
async function reclaimOf(ctx: EngineContext, id: string): Promise<void> {
  for (const directory of [ctx.store.vmmDirectory(id), vmRunDirectory(ctx.runRoot, id)]) {
    try {
      const removed = await reclaimDirectory(directory);
      if (removed.length > 0)
        ctx.log.error("a VM's user had put links into its directory: they are removed", {
          vm: id,
          directory,
          names: removed.join(" "),
        });
    } catch (error) {
      ctx.log.warn("a VM's directory can't be taken over", { vm: id, why: KilnError.from(error).message });
    }
  }
}

/** The status with what really runs in it. */
async function settleStatus(
  ctx: EngineContext,
  { record, status, statusIsSure }: LoadedVm,
  found: readonly FoundVmm[],
): Promise<{ status: VmStatus; isGone: boolean }> {
  const directory = vmRunDirectory(ctx.runRoot, record.id);
  const recordedLives = status.vmm !== undefined && (await isRecorded(status.vmm, ctx.ownership));
  const marked = found.filter(({ runDirectory }) => basename(runDirectory) === basename(directory));
  const processes = async () => {
    if (marked.length > 0 || statusIsSure) return marked;
    const launched = await findLaunched(ctx, directory);
    return launched.length > 0 ? launched : findUnmarked(ctx, directory);
  };
  const vmm = recordedLives ? undefined : await recallFirst(ctx, await processes());
  const finding = judgeFound({ status, sure: statusIsSure, recordedLives, found: vmm !== undefined });
  if (finding !== "unknown-vmm" || vmm === undefined) return { status, isGone: finding === "gone" };
  const pid = String(vmm.process.pid);
  ctx.log.warn("a VM runs although its status says otherwise; it is taken over", { vm: record.id, pid });
  return { isGone: false, status: await recalledStatus(ctx, { record, status, vmm, directory }) };
}

/** Of several processes of one VM (a jail's, a helper's) the one that is a VMM. */
async function recallFirst(
  ctx: EngineContext,
  processes: readonly FoundVmm[],
): Promise<VmmRecord | undefined> {
  for (const { process, runDirectory } of processes) {
    const vmm = await ctx.rooms.vmms.recall(process, runDirectory);
    if (vmm !== undefined) return vmm;
  }
  return undefined;
}

interface Recalled {
  readonly record: VmRecord;
  readonly status: VmStatus;
  readonly vmm: VmmRecord;
  readonly directory: string;
}

async function recalledStatus(
  ctx: EngineContext,
  { record, status, vmm, directory }: Recalled,
): Promise<VmStatus> {
  const { finishedAt: _finished, exit: _exit, restartAt: _restart, ...kept } = status;
  const vmDirectory = ctx.store.directory(record.id);
  return {
    ...kept,
    state: "running",
    exitCode: 0,
    reason: "status-lost",
    message: "it runs, but its status was lost: what it is was read from its process",
    boot: Math.max(status.boot, await lastBoot(vmDirectory)),
    startedAt: status.startedAt ?? isoNow(ctx),
    launch: status.launch ?? { runDirectory: directory, at: isoNow(ctx) },
    vmm,
    vmmKind: vmm.driver,
    accelerator: vmm.capabilities.accelerator,
    consoleLog: status.consoleLog || join(ctx.store.vmmDirectory(record.id), "console.log"),
  };
}

/** What was found out is written down; where it can't be (a full disk), the next start finds it out again. */
async function rewriteStatus(ctx: EngineContext, entry: VmEntry): Promise<void> {
  await entry.note({}).catch((error: unknown) => {
    vmLogger(ctx, entry).warn("the VM's status can't be written", { why: KilnError.from(error).message });
  });
}

/** Writes down the end of a VM whose VMM ended while no kilnd was running. */
async function settleGone(ctx: EngineContext, runner: VmRunner, entry: VmEntry): Promise<void> {
  const { status } = entry;
  const gone: VmmExit = { cause: "unknown", detail: "ended while kilnd was not running" };
  const verdict =
    status.vmm === undefined && status.exit === undefined
      ? ({
          kind: "failed",
          reason: "start-interrupted",
          message: "kilnd ended while the VM was being started",
        } as const)
      : judgeEnd({
          report: status.exit,
          vmm: gone,
          asked: status.stoppedByUser ? "kill" : "nothing",
          consoleTail: "",
          mode: entry.record.program.mode,
        });
  await rm(vmRunDirectory(ctx.runRoot, entry.id), { recursive: true, force: true });
  const change = changeOf(verdict, isoNow(ctx), status.exit?.oomKilled ?? false);
  await runner.end(entry, change, 0);
  if (verdict.kind === "reboot") await entry.note({ restartAt: isoNow(ctx) });
}

/**
 * Second part: takes the living over, and lets policies and `--rm` have their way with the others. All VMs at the
 * same time; what fails for one is logged and stops no other.
 */
export async function resumeVms(ctx: EngineContext, runner: VmRunner): Promise<void> {
  await Promise.all(
    ctx.vms.list().map(async (entry) => {
      try {
        // Verbs wait until the VM is ours: a stop that came in between would find nothing to stop.
        await ctx.lock.run(entry.id, () => takeOver(ctx, runner, entry));
        if (isEnded(entry.state)) await followUp(runner, entry);
      } catch (error) {
        await giveUp(ctx, runner, entry, KilnError.from(error, `take up VM ${entry.name}`));
      }
    }),
  );
}

/** Whatever went wrong, a VM whose VMM lives runs on and can be ended. */
async function giveUp(ctx: EngineContext, runner: VmRunner, entry: VmEntry, why: KilnError): Promise<void> {
  if (!isLive(entry.state) || entry.live !== undefined) return;
  try {
    const handle = await holdOn(ctx, entry, why);
    if (handle === undefined) await settleGone(ctx, runner, entry);
    else runner.adopt(entry, createLive(ctx, entry, handle));
  } catch (error) {
    vmLogger(ctx, entry).error("the end of the VM can't be written", { why: KilnError.from(error).message });
  }
}

/** A VMM that lives but can't be spoken to is watched, so that it is seen and can be ended. */
async function holdOn(ctx: EngineContext, entry: VmEntry, why: KilnError): Promise<VmmHandle | undefined> {
  const { vmm, consoleLog } = entry.status;
  if (vmm === undefined) return undefined;
  vmLogger(ctx, entry).error("the VMM can't be spoken to; it runs on", { why: why.message });
  const handle = await ctx.rooms.vmms.hold(vmm, consoleLog, why.message);
  if (handle !== undefined) {
    const message = `it runs, but its VMM can't be spoken to: ${why.message}`;
    await entry.note({ reason: "vmm-unreachable", message }).catch(() => undefined);
  }
  return handle;
}

async function takeOver(ctx: EngineContext, runner: VmRunner, entry: VmEntry): Promise<void> {
  if (!isLive(entry.state) || entry.live !== undefined) return;
  const handle = await reattach(ctx, entry);
  if (handle === undefined) return settleGone(ctx, runner, entry);
  await entry.log.begin(entry.status.boot).catch((error: unknown) => {
    vmLogger(ctx, entry).error("the VM's output can't be stored", { why: KilnError.from(error).message });
  });
  const live = createLive(ctx, entry, handle);
  if (entry.status.stoppedByUser) live.asked = "stop";
  if (entry.state === "starting") return finishBoot(ctx, runner, entry, live);
  if (entry.state === "paused") live.link.hold();
  await republish(ctx, entry, live);
  runner.adopt(entry, live);
}

async function reattach(ctx: EngineContext, entry: VmEntry): Promise<VmmHandle | undefined> {
  const { vmm } = entry.status;
  if (vmm === undefined) return undefined;
  try {
    const spec = planSpec(await runningFacts(ctx, entry, vmm));
    return await ctx.rooms.vmms.driver(vmm.driver).reattach(vmm, spec);
  } catch (error) {
    if (hasReason(error, "vmm-gone")) return undefined;
    return holdOn(ctx, entry, KilnError.from(error));
  }
}

/** A VM that runs needs neither kernel nor disks to be taken over: their loss must not cost it. */
async function runningFacts(ctx: EngineContext, entry: VmEntry, vmm: VmmRecord): Promise<SpecFacts> {
  const directory = await runDirectoryOf(ctx, entry);
  const none = { kernel: { vmlinux: "" }, initrd: "", modules: undefined };
  const { userNetwork } = vmm.capabilities;
  const assets = await ctx.kernels.prepare(entry.record.kernelId).catch(() => none);
  try {
    return await specFacts(ctx, entry, directory, assets, userNetwork);
  } catch (error) {
    vmLogger(ctx, entry).warn("the VM's network can't be planned", { why: KilnError.from(error).message });
    return specFacts(ctx, entry, directory, assets, false);
  }
}

/** kilnd was killed between launch and the program's start: the rest of the boot is done now, as a start is. */
async function finishBoot(ctx: EngineContext, runner: VmRunner, entry: VmEntry, live: LiveVm): Promise<void> {
  const abort = new AbortController();
  entry.starting = abort;
  try {
    const { session, runs } = await bootRest(ctx, entry, live, abort.signal);
    await live.ports.addAll(entry.record.program.ports);
    if (runs) await entry.change({ to: "running", at: isoNow(ctx) }, { ports: live.ports.bindings });
    runner.adopt(entry, live, session);
  } catch (error) {
    await live.release();
    await live.handle.kill();
    await entry.log.end();
    const { reason, message } = KilnError.from(error, `go on with the start of VM ${entry.name}`);
    await runner.end(entry, { to: "failed", at: isoNow(ctx), reason, message }, 0);
  } finally {
    entry.starting = undefined;
  }
}

async function bootRest(
  ctx: EngineContext,
  entry: VmEntry,
  live: LiveVm,
  signal: AbortSignal,
): Promise<{ session: AgentSession; runs: boolean }> {
  const { capabilities } = live.handle.record;
  const session = await live.open(signal, ctx.settings.helloTimeoutMs[capabilities.accelerator]);
  const { phase } = await session.client.state({}, { signal });
  if (phase !== Phase.WAITING) return { session, runs: true };
  const assets = await ctx.kernels.prepare(entry.record.kernelId);
  const directory = await runDirectoryOf(ctx, entry);
  const facts = await specFacts(ctx, entry, directory, assets, capabilities.userNetwork);
  const more = { capabilities, nowMs: ctx.now(), entropy: randomBytes(64) };
  const { pid } = await callBoot(ctx, live, session, { ...facts, ...more }, signal);
  return { session, runs: pid !== 0 };
}

/** A port that somebody else has taken meanwhile must not cost the VM. */
async function republish(ctx: EngineContext, entry: VmEntry, live: LiveVm): Promise<void> {
  for (const port of entry.status.ports) {
    try {
      await live.ports.add(port);
    } catch (error) {
      vmLogger(ctx, entry).warn("a port can't be published again", { why: KilnError.from(error).message });
    }
  }
  await entry.note({ ports: live.ports.bindings });
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
