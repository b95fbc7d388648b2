// Processes that outlive us: known by pid and start time, because pids are used again.

import { readFile } from "node:fs/promises";
import { errnoOf } from "./errors.js";

export interface ProcessId {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat: clock ticks after boot. */
  readonly startTime: string;
}

export interface ProcStat {
  state: string;
  threads: number;
  startTime: string;
  cpuTicks: number;
  rssPages: number;
}

/** Fields of /proc/<pid>/stat (proc(5)); undefined where there is no such process. */
export async function readProcStat(pid: number): Promise<ProcStat | undefined> {
  let text: string;
  try {
    text = await readFile(`/proc/${pid}/stat`, "utf8");
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ESRCH") return undefined;
    throw error;
  }
  return parseProcStat(text);
}

export function parseProcStat(text: string): ProcStat {
  // The command name may hold spaces and parentheses: count from the last one.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return {
    state: fields[0] ?? "",
    threads: Number(fields[17]),
    startTime: fields[19] ?? "",
    cpuTicks: Number(fields[11]) + Number(fields[12]),
    rssPages: Number(fields[21]),
  };
}

/** The identity of a live process; undefined where it has ended (a zombie has). */
export async function identifyProcess(pid: number): Promise<ProcessId | undefined> {
  const stat = await readProcStat(pid);
  if (stat === undefined || hasEnded(stat)) return undefined;
  return { pid, startTime: stat.startTime };
}

/**
 * A zombie has ended, unless it is only the first thread that did: the others of a killed process hold its files, locks
 * and mounts until they have gone as well.
 */
export function hasEnded({ state, threads }: ProcStat): boolean {
  return state === "X" || (state === "Z" && threads <= 1);
}

/** True while that very process lives. */
export async function isAlive(id: ProcessId): Promise<boolean> {
  const now = await identifyProcess(id.pid);
  return now !== undefined && now.startTime === id.startTime;
}

/** Sends a signal to that very process; false where it has ended. */
export async function signalProcess(id: ProcessId, signal: NodeJS.Signals): Promise<boolean> {
  if (!(await isAlive(id))) return false;
  try {
    process.kill(id.pid, signal);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ESRCH") return false;
    throw error;
  }
}
