// The guest's agent says hello: from then on the guest says by itself what is wrong with it. A guest that another kilnd
// has launched is asked how far it has come since.

import type { AgentSession } from "../../../agent/types.js";
import { KilnError } from "../../../base/errors.js";
import { delay } from "../../../base/runtime.js";
import type { Attempt, Boot, Greeted, Machine, Step } from "../boot.js";
import { explain, hung, vmmDied, whileItLives } from "../boot-errors.js";
import type { LiveVm } from "../live-vm.js";
import { pendingCopies } from "../pending-copies.js";
import { stageFor } from "../stage-for.js";

export async function hello(boot: Attempt, machine: Machine): Promise<Step> {
  const { undo, timings } = boot;
  await machine.live.attached.acquire("hello", { guest: machine.live.guest }, undo);
  const session = await waitForHello(boot, machine.live);
  undo.push("close the agent's session", () => session.close());
  timings.helloMs = boot.clock();
  const greeted = { machine, session };
  return machine.planned === undefined ? whereItStands(boot, greeted) : { ...greeted, at: "setup" };
}

async function waitForHello({ ctx, run }: Boot, live: LiveVm): Promise<AgentSession> {
  const { handle } = live;
  const { accelerator } = handle.record.capabilities;
  const helloTimeoutMs = ctx.settings.helloTimeoutMs[accelerator];
  const stop = new AbortController();
  const silence = setTimeout(
    () => stop.abort(hung("its console stayed silent")),
    ctx.settings.silenceTimeoutMs[accelerator],
  );
  void handle.firstOutput.then(() => clearTimeout(silence));
  void handle.exited.then(({ detail }) => stop.abort(vmmDied(detail)));
  try {
    return await live.open(AbortSignal.any([run.signal, stop.signal]), helloTimeoutMs);
  } catch (error) {
    run.signal.throwIfAborted();
    const why = stop.signal.aborted ? stop.signal.reason : error;
    throw await explain(handle, why instanceof KilnError ? why : hung(KilnError.from(why).message));
  } finally {
    clearTimeout(silence);
  }
}

/** A boot that is under way comes to its hold, where files wait for it. */
async function whereItStands(boot: Boot, greeted: Greeted): Promise<Step> {
  const { ctx, run } = boot;
  const { live } = greeted.machine;
  const timeoutMs = ctx.settings.helloTimeoutMs[live.handle.record.capabilities.accelerator];
  const call = { timeoutMs, signal: run.signal };
  for (let waitedMs = 0; waitedMs <= timeoutMs; waitedMs += LOOK_MS) {
    const { phase } = await whileItLives(run, live, () => greeted.session.machine.state(call));
    const pending = (await pendingCopies(ctx, run.entry).list()).length > 0;
    const at = stageFor(run.entry.status, phase, pending);
    if (at === "live") return { ...greeted, at, programRuns: true };
    if (at === "setup" || at === "files" || at === "workload") return { ...greeted, at };
    await delay(LOOK_MS, run.signal);
  }
  throw await explain(live.handle, hung("its boot, for which files wait, came to no hold"));
}

const LOOK_MS = 50;
