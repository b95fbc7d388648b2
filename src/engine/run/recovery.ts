// What kilnd does first: read the state on disk, look which VMMs live, and make both agree. A VM whose VMM lives is
// taken over where it was left (takeover.ts), be it in the middle of a boot or of its end; everything else of a killed
// kilnd is finished or removed.

import { rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { KilnError } from "../../base/errors.js";
import { vmRunDirectory } from "../../base/paths.js";
import type { VmmExit, VmmRecord } from "../../vmm/types.js";
import { reclaimDirectory } from "../host/reclaim.js";
import { removeOrphans } from "../host/run-directories.js";
import { type FoundVmm, findLaunched, findUnmarked, findVmms, isRecorded } from "../host/vmm-processes.js";
import { judgeEnd, START_INTERRUPTED } from "../vm/end.js";
import type { VmEntry } from "../vm/entry.js";
import { judgeFound } from "../vm/found-vmm.js";
import { lastBoot } from "../vm/load.js";
import type { VmRecord } from "../vm/record.js";
import { changeOf, isLive } from "../vm/state.js";
import type { VmStatus } from "../vm/status.js";
import type { LoadedVm } from "../vm/store.js";
import { type EngineContext, isoNow, vmLogger } from "./context.js";
import { pendingCopies } from "./pending-copies.js";
import { written } from "./tasks.js";
import { makeEntry } from "./vm-create.js";
import type { VmRunner } from "./vm-runner.js";

/**
 * First part, quick: fills the registry and settles the state of every VM whose VMM is gone. Afterwards lists and
 * names are right. Ends only VMMs of VMs that are no more, and of starts that were cut.
 */
export async function loadVms(ctx: EngineContext, runner: VmRunner): Promise<void> {
  const loaded = await ctx.store.load();
  const found = await findVmms(ctx);
  const gone: VmEntry[] = [];
  for (const vm of loaded) {
    await reclaimOf(ctx, vm.record.id);
    await tidyPending(ctx, vm.record);
    for (const remark of vm.remarks)
      ctx.log.warn("a VM's file can't be understood", { vm: vm.record.id, remark });
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

async function tidyPending(ctx: EngineContext, { id, config }: VmRecord): Promise<void> {
  try {
    await pendingCopies(ctx, { id, name: config.name }).tidy();
  } catch (error) {
    ctx.log.warn("half a copy can't be removed", { vm: id, why: KilnError.from(error).message });
  }
}

export const STATUS_LOST = "status-lost";

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
    reason: STATUS_LOST,
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
export async function settleGone(ctx: EngineContext, runner: VmRunner, entry: VmEntry): Promise<void> {
  const { status } = entry;
  const gone: VmmExit = { cause: "unknown", detail: "ended while kilnd was not running" };
  const wasCut = status.vmm === undefined && status.exit === undefined;
  const verdict = wasCut
    ? ({
        kind: "failed",
        reason: START_INTERRUPTED,
        message: "kilnd ended while the VM was being started",
      } as const)
    : judgeEnd({
        report: status.exit,
        vmm: gone,
        intent: status.stoppedByUser ? "kill" : "run",
        consoleTail: "",
        mode: entry.record.program.mode,
      });
  await written(ctx, entry, rm(vmRunDirectory(ctx.runRoot, entry.id), { recursive: true, force: true }));
  await written(ctx, entry, ctx.companions.ended(entry));
  const change = changeOf(verdict, isoNow(ctx), status.exit?.oomKilled ?? false);
  // A guest that reboots, and a start that is nobody's, have nobody else who would ask again.
  const goesOn = verdict.kind === "reboot" || (wasCut && status.launch?.unasked === true);
  await runner.end(entry, change, 0, goesOn);
}
