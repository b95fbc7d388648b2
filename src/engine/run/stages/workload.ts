// The program of a boot that was held is started.

import type { BootResponse } from "../../../gen/kiln/agent/v1/machine_pb.js";
import type { Boot, Greeted, Step, Up } from "../boot.js";
import { patience, whileItLives } from "../boot-errors.js";

export async function workload({ ctx, run }: Boot, greeted: Greeted): Promise<Step> {
  const { live } = greeted.machine;
  const { timeoutMs } = patience(ctx, run.entry, live);
  const call = { timeoutMs, signal: run.signal };
  const start = () => greeted.session.client.startProgram({}, call);
  return upWith(greeted, await whileItLives(run, live, start));
}

/** Where the answer's pid is 0, the program could not be started. */
export function upWith(greeted: Greeted, { pid, timings }: BootResponse): Up {
  return { ...greeted, at: "live", programRuns: pid !== 0, timings };
}
