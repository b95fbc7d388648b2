// The helper process of a VM with a network card (slirp4netns), kept in the VM's record so that any kilnd can end it.

import { type ProcessId, signalProcess } from "../../base/processes.js";
import type { VmmRecord } from "../types.js";

export function helperFacts(id: ProcessId): Record<string, string> {
  return { helperPid: String(id.pid), helperStartTime: id.startTime };
}

/** Ends the helper, where the record names one that still lives. */
export async function endHelper(record: VmmRecord): Promise<void> {
  const { helperPid, helperStartTime } = record.facts;
  if (helperPid === undefined || helperStartTime === undefined) return;
  await signalProcess({ pid: Number(helperPid), startTime: helperStartTime }, "SIGTERM");
}
