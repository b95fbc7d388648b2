// What kilnd does first: read the state on disk, look which VMMs live, and make both agree. A VM whose VMM lives is
// taken over where it was left, be it in the middle of a boot or of its end; everything else of a killed kilnd is
// finished or removed.

import { randomBytes } from "node:crypto";
import { readdir, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import type { AgentSession } from "../agent/types.js";
import { hasReason, KilnError } from "../base/errors.js";
import { makeDirectory } from "../base/files.js";
import { vmRunDirectory } from "../base/paths.js";
import { Phase } from "../gen/kiln/agent/v1/agent_pb.js";
import type { VmmExit, VmmHandle } from "../vmm/types.js";
import { planSpec } from "./boot-plan.js";
import { type EngineContext, isoNow, vmLogger } from "./context.js";
import type { LiveVm } from "./live-vm.js";
import { startsWithDaemon } from "./restart-policy.js";
import { callBoot, createLive, specFacts } from "./vm-boot.js";
import { makeEntry } from "./vm-create.js";
import { judgeEnd } from "./vm-end.js";
import type { VmEntry } from "./vm-entry.js";
import type { VmRunner } from "./vm-runner.js";
import { changeOf, isEnded, isLive } from "./vm-state.js";
import type { DamagedVm } from "./vm-store.js";
import { findVmms, isRecorded, killRecorded, killVmms } from "./vmm-processes.js";

export interface LoadReport {
  readonly damaged: readonly DamagedVm[];
}

/**
 * First part, quick: fills the registry and settles the state of every VM whose VMM is gone. Afterwards lists and
 * names are right. Kills VMMs of this run root that no record knows.
 */
export async function loadVms(ctx: EngineContext, runner: VmRunner): Promise<LoadReport> {
  const { vms, damaged } = await ctx.store.load();
  await ctx.ownership.openPassage(ctx.store.root);
  for (const { record, status } of vms) ctx.vms.add(makeEntry(ctx, record, status));
  for (const { id, error, movedTo } of damaged) {
    ctx.log.error("a VM's record is damaged and was put aside", { vm: id, movedTo, why: error.message });
  }
  const living = new Set<VmEntry>();
  for (const entry of ctx.vms.list()) {
    const { vmm } = entry.status;
    if (isLive(entry.state) && vmm !== undefined && (await isRecorded(vmm, ctx.ownership))) living.add(entry);
  }
  await removeOrphans(ctx, living);
  for (const entry of ctx.vms.list()) {
    if (isLive(entry.state) && !living.has(entry)) await settleGone(ctx, runner, entry);
  }
  return { damaged };
}

/**
 * VMMs and run directories that belong to no living VM. A VMM whose record was not written any more is one: it was
 * spawned for a boot, or a second try of one, that its kilnd did not live to see.
 */
async function removeOrphans(ctx: EngineContext, living: ReadonlySet<VmEntry>): Promise<void> {
  const known = new Set([...living].flatMap(({ status }) => status.launch?.runDirectory ?? []));
  // By name: the run root may have been moved while VMs run.
  const names = new Set([...known].map((directory) => basename(directory)));
  const found = await findVmms(ctx);
  const orphans = found.filter(({ runDirectory }) => !names.has(basename(runDirectory)));
  for (const { process, runDirectory } of orphans) {
    ctx.log.warn("ending a VMM that no VM knows", { pid: process.pid, runDirectory });
  }
  await killVmms(orphans);
  const root = await makeDirectory(join(ctx.runRoot, "v"));
  await ctx.ownership.openPassage(root);
  for (const name of await readdir(root)) {
    const directory = join(root, name);
    if (!known.has(directory)) await rm(directory, { recursive: true, force: true });
  }
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
        vmLogger(ctx, entry).error("the VM can't be taken up again", { why: KilnError.from(error).message });
        await giveUp(ctx, runner, entry);
      }
    }),
  );
}

/** A VM that can't be managed must neither live on unseen nor be shown as running. */
async function giveUp(ctx: EngineContext, runner: VmRunner, entry: VmEntry): Promise<void> {
  const { vmm } = entry.status;
  if (!isLive(entry.state) || entry.live !== undefined) return;
  try {
    if (vmm !== undefined) await killRecorded(vmm, ctx.ownership);
    await settleGone(ctx, runner, entry);
  } catch (error) {
    vmLogger(ctx, entry).error("the end of the VM can't be written", { why: KilnError.from(error).message });
  }
}

async function takeOver(ctx: EngineContext, runner: VmRunner, entry: VmEntry): Promise<void> {
  if (!isLive(entry.state) || entry.live !== undefined) return;
  const handle = await reattach(ctx, entry);
  if (handle === undefined) return settleGone(ctx, runner, entry);
  await entry.log.begin(entry.status.boot);
  const live = createLive(ctx, entry, handle);
  if (entry.status.stoppedByUser) live.asked = "stop";
  if (entry.state === "starting") return finishBoot(ctx, runner, entry, live);
  if (entry.state === "paused") live.link.hold();
  await republish(ctx, entry, live);
  runner.adopt(entry, live);
}

async function reattach(ctx: EngineContext, entry: VmEntry): Promise<VmmHandle | undefined> {
  const { vmm, launch } = entry.status;
  if (vmm === undefined || launch === undefined) return undefined;
  try {
    const assets = await ctx.kernels.prepare(entry.record.kernelId);
    const { userNetwork } = vmm.capabilities;
    const facts = await specFacts(ctx, entry, launch.runDirectory, assets, userNetwork);
    return await ctx.rooms.vmms.driver(vmm.driver).reattach(vmm, planSpec(facts));
  } catch (error) {
    if (hasReason(error, "vmm-gone")) return undefined;
    // A VMM that lives but can't be spoken to can't be managed: it must not live on unseen.
    vmLogger(ctx, entry).error("the VMM can't be taken over, so it is ended", {
      why: KilnError.from(error).message,
    });
    await killRecorded(vmm, ctx.ownership);
    return undefined;
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
  const directory = entry.status.launch?.runDirectory ?? "";
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
  const { status, record } = entry;
  const up = startsWithDaemon(record.config.restart, status.boot > 0, status.stoppedByUser);
  if (up && status.restartAt === undefined) await runner.bringUp(entry);
  else await runner.afterEnd(entry);
}
