// Where VMs' cgroups are in the host's tree: where this kilnd is to make them, and where one that is there was made.

import { readFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";

/** Where VMs' cgroups are made, and which limits they have there. */
export interface CgroupPlace {
  readonly version: 1 | 2;
  /** One for version 2; of version 1 one for each controller. */
  readonly parents: readonly { readonly directory: string; readonly controllers: readonly Controller[] }[];
}

export const CONTROLLERS = ["memory", "cpu", "pids"] as const;
export type Controller = (typeof CONTROLLERS)[number];

/** What the cgroups of VMs are called, before a part of the VM's id. */
export const VM_PREFIX = "kiln-vm-";
const VM_NAME = /^kiln-vm-[0-9a-f]{1,32}$/;
export interface CgroupHost {
  /** /proc/PID/cgroup */
  readonly membership: string;
  /** /proc/self/mountinfo */
  readonly mounts: string;
}

/** @param pid whose cgroups; default: our own */
export async function readCgroupHost(pid: number | "self" = "self"): Promise<CgroupHost> {
  const [membership, mounts] = await Promise.all([
    readFile(`/proc/${pid}/cgroup`, "utf8").catch(() => ""),
    readFile("/proc/self/mountinfo", "utf8").catch(() => ""),
  ]);
  return { membership, mounts };
}

/** Why VMs get no cgroups. */
export interface NoCgroups {
  readonly why: string;
}

/**
 * Directories for VMs' cgroups, for each controller; whether kilnd may write there is not known yet. Pure.
 *
 * @param delegated of version 2: where VMs' cgroups are to be made, as a path in the hierarchy, relative to kilnd's own
 */
export function planCgroups(
  { membership, mounts }: CgroupHost,
  delegated?: string | undefined,
): CgroupPlace | NoCgroups {
  const lines = membership.split("\n").map((line) => /^\d+:([^:]*):(\/.*)$/.exec(line));
  const parents: { directory: string; controllers: Controller[] }[] = [];
  for (const controller of CONTROLLERS) {
    const own = lines.find((line) => line?.[1]?.split(",").includes(controller))?.[2];
    const directory = own === undefined ? undefined : directoryIn(mounts, "cgroup", controller, own);
    if (directory === undefined) continue;
    const known = parents.find((parent) => parent.directory === directory);
    if (known === undefined) parents.push({ directory, controllers: [controller] });
    else known.controllers.push(controller);
  }
  if (parents.length > 0) return { version: 1, parents };
  const own = lines.find((line) => line?.[1] === "")?.[2];
  if (own === undefined) return { why: "this host has no cgroups" };
  if (delegated === undefined && own.endsWith(".service")) return { why: UNSTARTABLE };
  const wanted = delegated === undefined ? own : resolve(own, delegated);
  // The host's root cgroup is nobody's to share out but its init's.
  if (wanted === "/") return { why: "kilnd is in no cgroup of its own" };
  const directory = directoryIn(mounts, "cgroup2", undefined, wanted);
  if (directory === undefined) return { why: `the cgroup ${wanted} can't be seen here` };
  return { version: 2, parents: [{ directory, controllers: [...CONTROLLERS] }] };
}

/** systemd puts a service's process into the service's own cgroup, and the kernel lets none into one that is shared out. */
const UNSTARTABLE =
  "systemd could not start kilnd's service again while VMs have cgroups in it: give them another by vm.cgroup, as the packaged units do";

/** proc(5): 36 35 98:0 /root /mount/point options - type source super-options */
function directoryIn(
  mounts: string,
  type: string,
  controller: string | undefined,
  own: string,
): string | undefined {
  for (const line of mounts.split("\n")) {
    const [left = "", right = ""] = line.split(" - ");
    const [fsType, , superOptions = ""] = right.split(" ");
    if (fsType !== type) continue;
    if (controller !== undefined && !superOptions.split(",").includes(controller)) continue;
    const [, , , root = "/", mountPoint = ""] = left.split(" ");
    if (root !== "/" && own !== root && !own.startsWith(`${root}/`)) continue;
    const below = root === "/" ? own : own.slice(root.length);
    return below === "/" ? mountPoint : join(mountPoint, below);
  }
  return undefined;
}

/** A VM's cgroup that is there. */
export interface FoundCgroup {
  readonly place: CgroupPlace;
  readonly name: string;
}

/**
 * Where the VM's cgroup of a process lies. kilnd may be in another part of the tree by now than the one that made it: its
 * unit was changed, it was started by hand. Pure.
 */
export function planFound({ membership, mounts }: CgroupHost): FoundCgroup | undefined {
  const found = new Map<1 | 2, CgroupPlace["parents"][number][]>([
    [1, []],
    [2, []],
  ]);
  let name = "";
  for (const line of membership.split("\n")) {
    const [, names = "", path = ""] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (!VM_NAME.test(basename(path))) continue;
    const version = names === "" ? 2 : 1;
    const controllers = CONTROLLERS.filter((one) => version === 2 || names.split(",").includes(one));
    const [first] = controllers;
    if (first === undefined) continue;
    const type = version === 2 ? "cgroup2" : "cgroup";
    const directory = directoryIn(mounts, type, version === 2 ? undefined : first, dirname(path));
    if (directory === undefined) continue;
    name = basename(path);
    found.get(version)?.push({ directory, controllers });
  }
  for (const [version, parents] of found) {
    if (parents.length > 0) return { place: { version, parents }, name };
  }
  return undefined;
}

/** Whether a process with this /proc/PID/cgroup is in a VM's cgroup. Pure. */
export function isInVmCgroup(membership: string): boolean {
  return membership.split("\n").some((line) => line.slice(line.lastIndexOf("/") + 1).startsWith(VM_PREFIX));
}
