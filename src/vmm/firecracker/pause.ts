// How a Firecracker is paused. Its own way loses the guest's vsock for good in 1.16.0 and 1.16.1: after the resume the old
// session is silent and nobody answers a new one (firecracker#6100; measured, with 1.14.4, 1.15.1 and 1.17 not
// affected). A stopped process keeps both.

import { readProcStat, signalProcess } from "../../base/processes.js";
import { atLeast } from "../../base/programs.js";
import type { VmmProcess } from "../vmm-process.js";

/** "signal": SIGSTOP and SIGCONT. What an older kilnd started says no version: signals are right for every one. */
export function pauseWay(version: string | undefined): "api" | "signal" {
  if (version === undefined) return "signal";
  return atLeast(version, "1.16") && !atLeast(version, "1.17") ? "signal" : "api";
}

/** True while the process itself is stopped: its API answers nothing then. */
export async function isStopped({ id }: VmmProcess): Promise<boolean> {
  return (await readProcStat(id.pid))?.state === "T";
}

export async function stopProcess({ id }: VmmProcess): Promise<void> {
  await signalProcess(id, "SIGSTOP");
}

export async function continueProcess({ id }: VmmProcess): Promise<void> {
  await signalProcess(id, "SIGCONT");
}
