// A cgroup for each VM, where kilnd may make one: a VMM that was broken out of can't take the host's memory, processors
// or process table. Version 2 in the cgroup that was delegated to kilnd for them, else below kilnd's own; version 1 as
// root. Where there is none the VM runs without, and `kiln info` says so.

import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../../base/errors.js";
import { exists, makeDirectory } from "../../base/files.js";
import { delay } from "../../base/runtime.js";
import {
  type CgroupPlace,
  CONTROLLERS,
  type Controller,
  type NoCgroups,
  planFound,
  readCgroupHost,
  VM_PREFIX,
} from "./cgroup-place.js";

export interface CgroupLimits {
  readonly memoryBytes: number;
  /** Of one processor each. */
  readonly cpus: number;
  readonly processes: number;
}

const PERIOD_US = 100_000;
/** The cgroup that kilnd itself moves to: version 2 has processes in leaves only. */
const OWN = "kilnd";

export interface CgroupVerdict {
  readonly place: CgroupPlace | undefined;
  /** What is limited. */
  readonly controllers: readonly Controller[];
  /** For people. */
  readonly why: string;
}

/** Tries it: what can't be made or limited is left out. Also removes what ended VMs of an earlier kilnd left. */
export async function prepareCgroups(plan: CgroupPlace | NoCgroups): Promise<CgroupVerdict> {
  if ("why" in plan) return nothing(plan.why);
  const parents: CgroupPlace["parents"][number][] = [];
  const refusals: string[] = [];
  for (const parent of plan.parents) {
    try {
      const controllers = plan.version === 2 ? await enable(parent.directory) : parent.controllers;
      await tryOne(parent.directory);
      await sweep(parent.directory);
      parents.push({ directory: parent.directory, controllers });
    } catch (error) {
      refusals.push(`${parent.directory}: ${errnoOf(error) ?? String(error)}`);
    }
  }
  const controllers = parents.flatMap((parent) => parent.controllers);
  if (controllers.length === 0) return nothing(refusals.join("; ") || "no controller is delegated to kilnd");
  const why = `version ${plan.version}: ${controllers.join(", ")}`;
  return { place: { version: plan.version, parents }, controllers, why };
}

function nothing(why: string): CgroupVerdict {
  return { place: undefined, controllers: [], why };
}

/** Version 2: gives the children what kilnd has, and makes kilnd's own cgroup an inner one. */
async function enable(directory: string): Promise<Controller[]> {
  const has = (await readFile(join(directory, "cgroup.controllers"), "utf8")).trim().split(" ");
  const wanted = CONTROLLERS.filter((controller) => has.includes(controller));
  const control = join(directory, "cgroup.subtree_control");
  const words = wanted.map((controller) => `+${controller}`).join(" ");
  try {
    await writeFile(control, words);
  } catch (error) {
    if (errnoOf(error) !== "EBUSY") throw error;
    await makeDirectory(join(directory, OWN), 0o755);
    await writeFile(join(directory, OWN, "cgroup.procs"), String(process.pid));
    await writeFile(control, words);
  }
  return wanted;
}

async function tryOne(directory: string): Promise<void> {
  const path = join(directory, `${VM_PREFIX}try-${process.pid}`);
  await mkdir(path);
  await rmdir(path);
}

/** An empty cgroup is that of a VM that has ended: the kernel keeps the others. */
async function sweep(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (name.startsWith(VM_PREFIX)) await rmdir(join(directory, name)).catch(() => undefined);
  }
}

/** A file of a cgroup, and what is written to it. */
interface Limit {
  readonly file: string;
  readonly text: string;
  /** Fine where the kernel refuses it: with this error alone, or with any. */
  readonly optional?: true | "EINVAL";
}

/** Pure. */
export function planLimits(
  version: 1 | 2,
  controllers: readonly Controller[],
  limits: CgroupLimits,
): Limit[] {
  const quota = Math.round(limits.cpus * PERIOD_US);
  const files: Record<Controller, Limit[]> =
    version === 2
      ? {
          memory: [
            { file: "memory.max", text: String(limits.memoryBytes) },
            { file: "memory.oom.group", text: "1", optional: true },
          ],
          cpu: [{ file: "cpu.max", text: `${quota} ${PERIOD_US}` }],
          pids: [{ file: "pids.max", text: String(limits.processes) }],
        }
      : {
          memory: [{ file: "memory.limit_in_bytes", text: String(limits.memoryBytes) }],
          cpu: [
            { file: "cpu.cfs_period_us", text: String(PERIOD_US) },
            // Refused where the cgroup above has less, which then bounds the VM by itself.
            { file: "cpu.cfs_quota_us", text: String(quota), optional: "EINVAL" },
          ],
          pids: [{ file: "pids.max", text: String(limits.processes) }],
        };
  return controllers.flatMap((controller) => files[controller]);
}

const REMOVE_TRIES = 20;
const REMOVE_WAIT_MS = 5;

/** One VM's cgroup. */
export class VmCgroup {
  readonly #place: CgroupPlace;
  readonly #name: string;
  #limits: CgroupLimits | undefined;
  #closed = false;

  private constructor(place: CgroupPlace, name: string) {
    this.#place = place;
    this.#name = name;
  }

  /** The cgroup of that VM, which need not be there (any more). */
  static of(place: CgroupPlace, vmId: string): VmCgroup {
    return new VmCgroup(place, VM_PREFIX + vmId.slice(0, 32));
  }

  /** The VM's cgroup in which a process is, wherever this kilnd would make one; undefined where it is in none. */
  static async around(pid: number): Promise<VmCgroup | undefined> {
    const found = planFound(await readCgroupHost(pid));
    return found && new VmCgroup(found.place, found.name);
  }

  static async create(place: CgroupPlace, vmId: string, limits: CgroupLimits): Promise<VmCgroup> {
    const cgroup = VmCgroup.of(place, vmId);
    cgroup.#limits = limits;
    try {
      for (const parent of cgroup.#directories()) await again(() => cgroup.#make(parent));
    } catch (error) {
      await cgroup.close();
      throw error;
    }
    return cgroup;
  }

  /** What they start afterwards is in it too. Nothing where the VM has ended meanwhile. */
  async add(pids: readonly number[]): Promise<void> {
    for (const parent of this.#directories()) {
      await again(async () => {
        if (this.#closed) return;
        // Another kilnd that starts just now takes an empty one for a leftover.
        if (!(await exists(parent.directory))) await this.#make(parent);
        for (const pid of pids) await enter(parent.directory, pid);
      });
      if (this.#closed) await remove(parent.directory);
    }
  }

  async #make({ directory, controllers }: Parent): Promise<void> {
    await makeDirectory(directory, 0o755);
    if (this.#limits === undefined) return;
    for (const { file, text, optional } of planLimits(this.#place.version, controllers, this.#limits)) {
      await writeFile(join(directory, file), text).catch((error: unknown) => {
        if (optional !== true && (optional === undefined || errnoOf(error) !== optional)) throw error;
      });
    }
  }

  /** Removes it once its processes have ended; what outlives the VM in it for more than a moment is ended. @returns that the kernel killed for want of memory, where it did */
  async close(): Promise<string | undefined> {
    this.#closed = true;
    const kills = await this.#oomKills();
    for (const { directory } of this.#directories()) await remove(directory);
    return kills > 0 ? "the kernel ended it because it used more memory than the VM's limit" : undefined;
  }

  async #oomKills(): Promise<number> {
    const file = this.#place.version === 2 ? "memory.events" : "memory.oom_control";
    for (const { directory, controllers } of this.#directories()) {
      if (!controllers.includes("memory")) continue;
      const text = await readFile(join(directory, file), "utf8").catch(() => "");
      return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0);
    }
    return 0;
  }

  #directories(): Parent[] {
    return this.#place.parents.map(({ directory, controllers }) => ({
      directory: join(directory, this.#name),
      controllers,
    }));
  }
}

interface Parent {
  readonly directory: string;
  readonly controllers: readonly Controller[];
}

async function enter(directory: string, pid: number): Promise<void> {
  try {
    await writeFile(join(directory, "cgroup.procs"), String(pid));
  } catch (error) {
    // It has ended already, and tells why elsewhere.
    if (errnoOf(error) !== "ESRCH") throw error;
  }
}

/** All that kilnd has put there, and what that has started. */
async function endAll(directory: string): Promise<void> {
  const text = await readFile(join(directory, "cgroup.procs"), "utf8").catch(() => "");
  for (const pid of text.split("\n").map(Number)) {
    // 0 is one that can't be seen from here.
    if (!(pid > 1) || pid === process.pid) continue;
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      if (errnoOf(error) !== "ESRCH" && errnoOf(error) !== "EPERM") throw error;
    }
  }
}

const MAKE_TRIES = 5;

/** Once more where the directory went away meanwhile. */
async function again(action: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await action();
    } catch (error) {
      // ENODEV: between its open and the write.
      const gone = errnoOf(error) === "ENOENT" || errnoOf(error) === "ENODEV";
      if (!gone || tries === MAKE_TRIES) throw error;
    }
  }
}

/** The monitor may need a moment to leave, and the user network to send what the guest said last. */
async function remove(directory: string): Promise<void> {
  for (let tried = 0; tried < REMOVE_TRIES; tried++) {
    if (tried === REMOVE_TRIES / 2) await endAll(directory);
    try {
      return await rmdir(directory);
    } catch (error) {
      if (errnoOf(error) !== "EBUSY") return;
    }
    await delay(REMOVE_WAIT_MS);
  }
}
