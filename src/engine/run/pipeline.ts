// The one way up, for a user's start, a policy's, a reboot and a boot that another kilnd has left: the same stages with
// the same limits, wherever it enters. Leaves nothing behind when it fails. It knows nothing of verbs and policies.

import { rm } from "node:fs/promises";
import { performance } from "node:perf_hooks";
import { hasReason, KilnError } from "../../base/errors.js";
import { failpoint } from "../../base/failpoint.js";
import { UndoStack } from "../../base/undo.js";
import type { Timings } from "../vm/status.js";
import type { Attempt, Boot, Step, Up } from "./boot.js";
import { type EngineContext, vmLogger } from "./context.js";
import type { LiveVm } from "./live-vm.js";
import type { Run } from "./run.js";
import { files } from "./stages/files.js";
import { hello } from "./stages/hello.js";
import { prepare } from "./stages/prepare.js";
import { setup } from "./stages/setup.js";
import { spawn } from "./stages/spawn.js";
import { workload } from "./stages/workload.js";

export interface WayUp {
  readonly runDirectory: string;
  /** What runs, where another kilnd has launched it; absent: everything is still to do. */
  readonly found?: LiveVm;
  /** When the start was asked for, where that was not now: Unix milliseconds. */
  readonly askedMs?: number;
}

/** Takes over what is up. Until it resolves, a failure leaves nothing. */
export type Begin = (up: Up, timings: Timings) => Promise<void>;

const ATTEMPTS = 2;

/**
 * Brings a run up. A guest that hangs before its hello is tried once more: under software emulation a kernel may lose its
 * timer on a busy host (docs/design/0003-state-and-recovery.md).
 *
 * @throws KilnError unavailable `vmm-died`, deadline_exceeded `no-hello`, and what the rooms say
 */
export async function drive(ctx: EngineContext, run: Run, way: WayUp, begin: Begin): Promise<void> {
  const { runDirectory, found, askedMs } = way;
  await using leases = undoStack(ctx, run);
  // From here on, for it may be given up while it waits for its turn.
  await using owned = undoStack(ctx, run);
  if (found !== undefined) {
    own(owned, runDirectory, found);
    run.enter("hello");
  }
  await ctx.boots.run(async () => {
    const timings = { preparedMs: 0, spawnedMs: 0, helloMs: 0, startedMs: 0 };
    const boot = { ctx, run, runDirectory, clock: clockOf(ctx, askedMs), timings, owned, leases };
    let first = found === undefined ? await prepared(boot) : foundStep(found);
    for (let tries = 1; ; tries++) {
      try {
        await attempt(boot, first, begin);
        return owned.commit();
      } catch (error) {
        if (!hasReason(error, "no-hello") || tries === ATTEMPTS || run.signal.aborted) throw error;
        const why = KilnError.from(error).message.split("\n")[0];
        vmLogger(ctx, run.entry).warn("the guest hangs at boot, trying again", { why });
        if (first.at !== "hello") continue;
        // Of what was found nothing is left, and all is made anew.
        await owned.rollback();
        first = await prepared(boot);
      }
    }
  }, run.signal);
}

/** From one step to the program; leaves nothing behind when it fails. */
async function attempt(boot: Boot, first: Step, begin: Begin): Promise<void> {
  const { ctx, run, timings, clock } = boot;
  await using undo = undoStack(ctx, run);
  let step = first;
  while (step.at !== "live") {
    run.enter(step.at);
    step = await stage({ ...boot, undo }, step);
  }
  failpoint("run.up");
  timings.startedMs = clock();
  const guest = step.timings === undefined ? {} : { guest: step.timings };
  await begin(step, { ...timings, ...guest });
  undo.commit();
}

function stage(attempt: Attempt, step: Exclude<Step, Up>): Promise<Step> {
  switch (step.at) {
    case "spawn":
      return spawn(attempt, step.prepared);
    case "hello":
      return hello(attempt, step.machine);
    case "setup":
      return setup(attempt, step);
    case "files":
      return files(attempt, step);
    case "workload":
      return workload(attempt, step);
  }
}

async function prepared(boot: Boot): Promise<Step> {
  boot.run.enter("prepare");
  return { at: "spawn", prepared: await prepare(boot) };
}

/** What another kilnd has launched is asked where it stands. */
function foundStep(live: LiveVm): Step {
  return { at: "hello", machine: { live, planned: undefined } };
}

function own(undo: UndoStack, runDirectory: string, live: LiveVm): void {
  undo.push("remove the run directory", () => rm(runDirectory, { recursive: true, force: true }));
  undo.push("end the VMM", () => live.handle.kill());
  undo.push("let go of the VM", () => live.release());
}

function undoStack(ctx: EngineContext, { entry }: Run): UndoStack {
  return new UndoStack((what, error) => vmLogger(ctx, entry).warn(what, { why: error.message }));
}

/** Milliseconds since the start was asked for; by the host's clock where that was in another process. */
function clockOf(ctx: EngineContext, askedMs: number | undefined): () => number {
  if (askedMs !== undefined) return () => Math.max(0, ctx.now() - askedMs);
  const start = performance.now();
  return () => performance.now() - start;
}
