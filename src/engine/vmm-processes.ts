// Finds VMM processes of this kiln in /proc, whatever their driver: each is given a run directory of its own, which
// nobody else has reason to name, or is jailed below its VM's directory. Used after a kill -9 of kilnd between a spawn
// and its record.

import { readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { vmRunDirectory } from "../base/paths.js";
import { identifyProcess, isAlive, type ProcessId, signalProcess } from "../base/processes.js";
import { delay } from "../base/runtime.js";

export interface FoundVmm {
  readonly process: ProcessId;
  readonly runDirectory: string;
}

/** The run directory that a command line names; undefined where it names none of this root. Pure. */
export function runDirectoryIn(cmdline: string, runRoot: string): string | undefined {
  const prefix = join(runRoot, "v/");
  const at = cmdline.indexOf(prefix);
  if (at < 0) return undefined;
  const name = /^[0-9a-f]{16}(?![0-9a-f])/.exec(cmdline.slice(at + prefix.length))?.[0];
  return name === undefined ? undefined : prefix + name;
}

/** The VM in whose directory a process is jailed, by its root; undefined where it is none of ours. Pure. */
export function jailedVm(root: string, dataRoot: string): string | undefined {
  const prefix = join(dataRoot, "vms/");
  if (!root.startsWith(prefix)) return undefined;
  return /^([0-9a-f]{64})\//.exec(root.slice(prefix.length))?.[1];
}

/** All processes that name a VM's run directory or are jailed in a VM's directory; never this one. */
export async function findVmms(runRoot: string, dataRoot: string): Promise<FoundVmm[]> {
  const found: FoundVmm[] = [];
  for (const name of await readdir("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    // Processes come and go, and kernel threads have no command line: both read as empty.
    const cmdline = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    if (cmdline === "") continue;
    const runDirectory = runDirectoryIn(cmdline, runRoot) ?? (await jailDirectory(pid, runRoot, dataRoot));
    if (runDirectory === undefined) continue;
    const identity = await identifyProcess(pid);
    if (identity !== undefined) found.push({ process: identity, runDirectory });
  }
  return found;
}

async function jailDirectory(pid: number, runRoot: string, dataRoot: string): Promise<string | undefined> {
  // Readable for our own processes and for root; the others' VMMs are none of ours.
  const root = await readlink(`/proc/${pid}/root`).catch(() => "");
  const id = jailedVm(root, dataRoot);
  return id === undefined ? undefined : vmRunDirectory(runRoot, id);
}

const LOOK_MS = 10;
const PATIENCE_MS = 5_000;

/** Kills those processes and waits until they are gone. */
export async function killVmms(vmms: readonly FoundVmm[]): Promise<void> {
  for (const { process: vmm } of vmms) await signalProcess(vmm, "SIGKILL");
  const until = Date.now() + PATIENCE_MS;
  for (const { process: vmm } of vmms) {
    while ((await isAlive(vmm)) && Date.now() < until) await delay(LOOK_MS);
  }
}
