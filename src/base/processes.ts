// Processes that outlive us: known by pid and start time, because pids are used again.

import { readFile, stat } from "node:fs/promises";
import { errnoOf } from "./errors.js";

export interface ProcessId {
  readonly pid: number;
  /**
   * Field 22 of /proc/<pid>/stat, clock ticks after boot, then "b" and the boot's own id: hosts start their daemons in
   * the same order at every boot, so the same pid and tick come back with another program behind them.
   */
  readonly startTime: string;
}

/** What a process is beyond its id. */
export interface ProcessTraits {
  /** Real user id. */
  readonly uid: number;
  /** Device and inode of the file that it runs; "" where this user may not look. */
  readonly executable: string;
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
  return { pid, startTime: `${stat.startTime}b${await bootId()}` };
}

let knownBoot: Promise<string> | undefined;

/** Short name of the host's present boot; the same for as long as the kernel runs. */
function bootId(): Promise<string> {
  knownBoot ??= readFile("/proc/sys/kernel/random/boot_id", "utf8").then((text) => text.slice(0, 8));
  return knownBoot;
}

/** True where both name the same moment; what releases without boot ids wrote is compared by its ticks alone. */
function isSameStart(recorded: string, now: string): boolean {
  return recorded.includes("b") ? recorded === now : recorded === now.replace(/b.*/, "");
}

/** Undefined where it has ended. */
export async function readTraits(pid: number): Promise<ProcessTraits | undefined> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  const uid = /^Uid:\t(\d+)/m.exec(status)?.[1];
  if (uid === undefined) return undefined;
  // The file and not its name: a name may be another file's by now, or one in the process's own mount namespace.
  const file = await stat(`/proc/${pid}/exe`, { bigint: true }).catch(() => undefined);
  return { uid: Number(uid), executable: file === undefined ? "" : `${file.dev}:${file.ino}` };
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
  return now !== undefined && isSameStart(id.startTime, now.startTime);
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
