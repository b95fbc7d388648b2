// The end of a run, from the program's to the VMM's: its exit and its last output are stored before the guest forgets
// them, and what is known of it is judged once. What becomes of the VM then is the runner's.

import { rm } from "node:fs/promises";
import { KilnError } from "../../base/errors.js";
import { failpoint } from "../../base/failpoint.js";
import { vmRunDirectory } from "../../base/paths.js";
import { delay } from "../../base/runtime.js";
import type { VmmExit, VmmHandle } from "../../vmm/types.js";
import { judgeEnd, type Verdict } from "../vm/end.js";
import type { VmEntry } from "../vm/entry.js";
import { outlives } from "../vm/mount-config.js";
import type { RunView } from "../vm/run-view.js";
import type { ReportedExit } from "../vm/status.js";
import { type EngineContext, vmLogger } from "./context.js";
import type { LiveVm } from "./live-vm.js";
import type { Run } from "./run.js";
import { written } from "./tasks.js";

/** Stores the exit and the last output, lets the guest go, and sees to it that it goes. */
export async function acknowledge(
  ctx: EngineContext,
  entry: VmEntry,
  live: LiveVm,
  report: ReportedExit,
): Promise<void> {
  const { autoRemove, mounts } = entry.record.config;
  const { endGraceMs } = ctx.settings;
  const log = vmLogger(ctx, entry);
  const gone = exitOf(live.handle).then(() => undefined);
  log.debug("the program has ended", { code: report.code, request: report.request });
  await written(ctx, entry, entry.note({ exit: report }, !autoRemove));
  failpoint("end.noted");
  await within(endGraceMs, live.logsDone.promise, gone);
  await within(LAST_WORDS_MS, live.lastWords(), gone);
  log.debug("its output is stored", { bytes: String(entry.log.nextSequence) });
  failpoint("end.stored");
  // Disks that are thrown away need no tidy end, but a VM that reboots goes on with them, and a volume outlives it.
  const thrownAway = autoRemove && report.request !== "reboot" && !mounts.some(outlives);
  if (!thrownAway) {
    const settled = await acknowledged(live, endGraceMs);
    log.debug("its end is acknowledged", { settled });
    if (!settled) await within(endGraceMs, gone);
  }
  failpoint("end.acknowledged");
  await live.handle.kill();
}

/** Lets go of a run whose VMM has ended. @returns what says how it was, by what is wanted of it then */
export async function settle(
  ctx: EngineContext,
  run: Run,
  live: LiveVm,
  exit: VmmExit,
  report: ReportedExit | undefined,
): Promise<() => Verdict> {
  const { entry } = run;
  // What the guest wrote last may still be on its way through the socket of a VMM that has just died.
  if (report === undefined) await within(LAST_WORDS_MS, live.outputStored());
  const consoleTail = await live.handle.consoleTail(CONSOLE_TAIL_BYTES).catch(() => "");
  await live.release();
  failpoint("end.released");
  await ctx.companions.ended(entry);
  const { mode } = entry.record.program;
  await written(ctx, entry, rm(vmRunDirectory(ctx.runRoot, entry.id), { recursive: true, force: true }));
  failpoint("end.settled");
  return () => judgeEnd({ report, vmm: exit, intent: run.intent, lost: run.why, consoleTail, mode });
}

/** Never rejects: a VM whose VMM is gone has ended, whatever its driver then met. */
export function exitOf(handle: VmmHandle): Promise<VmmExit> {
  return handle.exited.catch((error: unknown) => ({
    cause: "unknown",
    detail: KilnError.from(error).message,
  }));
}

/** @returns true where the guest has brought its disks to rest */
async function acknowledged(live: LiveVm, timeoutMs: number): Promise<boolean> {
  try {
    await live.link.current?.machine.ackExit({ timeoutMs });
    return live.link.current !== undefined;
  } catch {
    return false; // a guest that is already gone can't answer
  }
}

/** A panic's own words come before its long backtrace. */
const CONSOLE_TAIL_BYTES = 16 * 1024;

/** How long the last output of a VMM that died may take to be read from its socket. */
const LAST_WORDS_MS = 500;

/** Resolves when one of them has, or the time is up. */
export async function within(ms: number, ...promises: readonly Promise<unknown>[]): Promise<void> {
  const stop = new AbortController();
  await Promise.race([...promises, delay(ms, stop.signal).catch(() => undefined)]);
  stop.abort();
}

/** A guest that does not answer has had its chance. */
const SYNC_MS = 5_000;

/**
 * Ends what runs at once; resolves once its end is written. What it has on disks that outlive it is brought there first: a
 * container's would be in its host's memory, and a kill would lose none of it.
 */
export async function endRun({ record }: VmEntry, run: RunView): Promise<void> {
  run.want("kill");
  if (record.config.mounts.some(outlives)) {
    await run.live?.link.current?.machine.sync({ timeoutMs: SYNC_MS }).catch(() => undefined);
  }
  await run.live?.handle.kill();
  await run.ended;
}
