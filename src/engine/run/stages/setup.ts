// The agent's Boot: the guest gets its root, and where no files wait for it starts its program at once.

import { randomBytes } from "node:crypto";
import { Code, KilnError } from "../../../base/errors.js";
import { runDirectoryOf } from "../../host/run-directories.js";
import { planBoot, type SpecFacts } from "../../vm/boot-plan.js";
import type { Boot, Greeted, Machine, Step } from "../boot.js";
import { patience, whileItLives } from "../boot-errors.js";
import { pendingCopies } from "../pending-copies.js";
import { specFacts } from "../spec-facts.js";
import { upWith } from "./workload.js";

export async function setup(boot: Boot, { machine, session }: Greeted): Promise<Step> {
  const { ctx, run } = boot;
  const hold = (await pendingCopies(ctx, run.entry).list()).length > 0;
  const facts = machine.facts ?? (await factsOfFound(boot, machine));
  const { disks: serials, record } = machine.live.handle;
  const { capabilities } = record;
  const { initPatienceMs, timeoutMs } = patience(ctx, run.entry, machine.live);
  const now = { nowMs: ctx.now(), entropy: randomBytes(64) };
  const request = planBoot({ ...facts, capabilities, serials, ...now, initPatienceMs, hold });
  const call = { timeoutMs, signal: run.signal };
  const answer = await whileItLives(run, machine.live, () => session.machine.boot(request, call));
  if (!hold) return upWith({ machine, session }, answer);
  if (answer.held) return { at: "files", machine, session };
  throw new KilnError(Code.FailedPrecondition, "the guest's agent starts no VM that files wait for", {
    reason: "agent-too-old",
    hint: "it is older than kilnd: see kilnd's setting `agent`",
  });
}

async function factsOfFound({ ctx, run }: Boot, { live }: Machine): Promise<SpecFacts> {
  const { entry } = run;
  const assets = await ctx.kernels.prepare(entry.record.kernelId);
  const directory = await runDirectoryOf(ctx, entry);
  return specFacts(ctx, entry, directory, assets, live.handle.record.capabilities.userNetwork);
}
