// Which processes of this host are this kiln's own, whatever their driver. Proof is what nobody else can make: a record
// of pid, start time, user and executable; the root's mark in the environment (owner-mark.ts); a jail below a VM's
// directory. Never the words of a command line: those name whatever their user likes.

import { readdir, readFile, readlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { vmRunDirectory } from "../../base/paths.js";
import {
  identifyProcess,
  isAlive,
  type ProcessId,
  type ProcessTraits,
  readTraits,
  signalProcess,
} from "../../base/processes.js";
import { delay } from "../../base/runtime.js";
import { readProcessRecord } from "../../vmm/index.js";
import type { VmmRecord } from "../../vmm/types.js";
import type { OwnerMark } from "./owner-mark.js";
import type { Ownership } from "./ownership.js";

export interface FoundVmm {
  readonly process: ProcessId;
  readonly runDirectory: string;
}

/** Where to look and what counts as ours: an EngineContext has all of it. */
export interface SearchContext {
  readonly runRoot: string;
  readonly dataRoot: string;
  readonly mark: OwnerMark;
  readonly ownership: Pick<Ownership, "owns">;
}

/** The VM in whose directory a process is jailed, by its root; undefined where it is none of ours. Pure. */
export function jailedVm(root: string, dataRoot: string): string | undefined {
  const prefix = join(dataRoot, "vms/");
  if (!root.startsWith(prefix)) return undefined;
  return /^([0-9a-f]{64})\//.exec(root.slice(prefix.length))?.[1];
}

/** All processes that were started for VMs of this root; never this one. */
export async function findVmms(ctx: SearchContext): Promise<FoundVmm[]> {
  const found: FoundVmm[] = [];
  for (const name of await readdir("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    // First who it is, then whether it is ours: a pid that changes hands in between has another start time.
    const identity = await identifyProcess(pid).catch(() => undefined);
    if (identity === undefined) continue;
    const runDirectory = await runDirectoryOf(pid, ctx);
    if (runDirectory === undefined) continue;
    const traits = await readTraits(pid);
    if (traits !== undefined && ctx.ownership.owns(traits.uid) && (await isAlive(identity))) {
      found.push({ process: identity, runDirectory });
    }
  }
  return found;
}

/** The VMM that the run directory's own record names: kilnd alone writes there. For a root whose key was lost. */
export async function findLaunched(
  { ownership }: Pick<SearchContext, "ownership">,
  runDirectory: string,
): Promise<FoundVmm[]> {
  const vmm = (await readProcessRecord(runDirectory))?.vmm;
  if (vmm === undefined || !(await isAlive(vmm))) return [];
  const traits = await readTraits(vmm.pid);
  return traits !== undefined && ownership.owns(traits.uid) ? [{ process: vmm, runDirectory }] : [];
}

/**
 * VMMs of a release that marked none, by their command line. That proves little, so what is found is only ever taken
 * over, never ended: it must be a user's whom we own, and whoever asks looks whether it is a VMM.
 */
export async function findUnmarked(
  { ownership }: Pick<SearchContext, "ownership">,
  runDirectory: string,
): Promise<FoundVmm[]> {
  const found: FoundVmm[] = [];
  for (const name of await readdir("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const identity = await identifyProcess(pid).catch(() => undefined);
    const cmdline = await readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "");
    if (identity === undefined || !namesDirectory(cmdline, runDirectory)) continue;
    const traits = await readTraits(pid);
    if (traits !== undefined && ownership.owns(traits.uid)) found.push({ process: identity, runDirectory });
  }
  return found;
}

/** A VMM by its own first word. */
const VMM_COMMAND = /^(?:[^\0]*\/)?(?:qemu-system-|firecracker|jailer)/;

/**
 * Whether some process, whoever's, uses the run directory: it is on record there, listens on a socket in it, or is a VMM
 * with it on its command line (an editor or a `tail` is not). A hint to leave the directory alone, never a proof whose it is.
 */
export async function isInUse(runDirectory: string): Promise<boolean> {
  const record = await readProcessRecord(runDirectory);
  for (const process of [record?.vmm, record?.spawned]) {
    if (process !== undefined && (await isAlive(process))) return true;
  }
  // By its name, which is a hash: the same directory may have been reached by another path.
  const name = `/${basename(runDirectory)}`;
  if (namesDirectory(await readFile("/proc/net/unix", "latin1").catch(() => ""), name)) return true;
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    const cmdline = await readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "");
    if (VMM_COMMAND.test(cmdline) && namesDirectory(cmdline, name)) return true;
  }
  return false;
}

/** Pure. */
function namesDirectory(cmdline: string, directory: string): boolean {
  const at = cmdline.indexOf(directory);
  return at >= 0 && !/[0-9a-f]/.test(cmdline.charAt(at + directory.length));
}

async function runDirectoryOf(pid: number, ctx: SearchContext): Promise<string | undefined> {
  const marked = await ctx.mark.read(pid);
  if (marked !== undefined) return join(ctx.runRoot, "v", marked);
  // Firecracker's jailer clears the environment. Readable for our own processes and for root.
  const root = await readlink(`/proc/${pid}/root`).catch(() => "");
  const id = jailedVm(root, ctx.dataRoot);
  return id === undefined ? undefined : vmRunDirectory(ctx.runRoot, id);
}

/** The record with what proves later that a process is the one that it names. */
export async function withProof(record: VmmRecord): Promise<VmmRecord> {
  const { executable } = (await readTraits(record.process.pid)) ?? { executable: "" };
  return executable === "" ? record : { ...record, facts: { ...record.facts, executable } };
}

/** The process of a record, while it lives and is the one that was recorded. */
export async function isRecorded(record: VmmRecord, ownership: Pick<Ownership, "owns">): Promise<boolean> {
  if (!(await isAlive(record.process))) return false;
  const traits = await readTraits(record.process.pid);
  return traits !== undefined && isOf(record, traits, ownership);
}

/** Pure. Records of the first release name no executable, and a process may forbid the look at its own. */
export function isOf(record: VmmRecord, traits: ProcessTraits, ownership: Pick<Ownership, "owns">): boolean {
  const { executable = "" } = record.facts;
  const unknown = executable === "" || traits.executable === "";
  return ownership.owns(traits.uid) && (unknown || executable === traits.executable);
}

const LOOK_MS = 10;
const PATIENCE_MS = 5_000;

/** Kills processes that were found, and waits until they are gone. */
export async function killVmms(vmms: readonly FoundVmm[]): Promise<void> {
  for (const { process: vmm } of vmms) await signalProcess(vmm, "SIGKILL");
  const until = Date.now() + PATIENCE_MS;
  for (const { process: vmm } of vmms) {
    while ((await isAlive(vmm)) && Date.now() < until) await delay(LOOK_MS);
  }
}

/** Kills the process of a record, where it still is that one. */
export async function killRecorded(record: VmmRecord, ownership: Pick<Ownership, "owns">): Promise<void> {
  if (await isRecorded(record, ownership)) await killVmms([{ process: record.process, runDirectory: "" }]);
}
