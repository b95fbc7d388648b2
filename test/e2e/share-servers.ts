// The servers of shared directories, and their ends.

import { setTimeout as delay } from "node:timers/promises";
import type { TestKiln } from "./harness.js";

/** kill -9 to all of the root's servers, five times a second. @returns how many died */
export async function killServers(kiln: TestKiln, signal: AbortSignal): Promise<number> {
  let deaths = 0;
  while (!signal.aborted) {
    const servers = (await kiln.processes()).filter(({ command }) => command.includes("kiln-share "));
    for (const { pid } of servers) deaths += killed(pid) ? 1 : 0;
    await delay(200);
  }
  return deaths;
}

export function killed(pid: number): boolean {
  try {
    return process.kill(pid, "SIGKILL");
  } catch {
    return false; // its keeper was quicker
  }
}
