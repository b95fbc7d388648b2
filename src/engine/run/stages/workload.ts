// The program of a boot that was held is started.

import type { BootAnswer } from "../../../agent/index.js";
import type { Boot, Greeted, Step, Up } from "../boot.js";
import { patience, whileItLives } from "../boot-errors.js";

export async function workload({ ctx, run }: Boot, greeted: Greeted): Promise<Step> {
  const { live } = greeted.machine;
  const { timeoutMs } = patience(ctx, run.entry, live);
  const call = { timeoutMs, signal: run.signal };
  const start = () => greeted.session.machine.startProgram(call);
  return upWith(greeted, await whileItLives(run, live, start));
}

export function upWith(greeted: Greeted, { programRuns, timings }: BootAnswer): Up {
  return { ...greeted, at: "live", programRuns, timings };
}
