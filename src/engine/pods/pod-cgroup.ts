// The cgroup that the kubelet has made for a pod, in either version: what it limits.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Code, errnoOf, KilnError } from "../../base/errors.js";
import type { PodLimits } from "./sizes.js";

const MOUNTED = "/sys/fs/cgroup";
/** Version 1 has no word for "none": it is the largest number of whole pages. */
const NO_LIMIT_V1 = 2 ** 62;
const SHARES_A_CPU = 1024;

type Read = (file: string) => Promise<string | undefined>;

/**
 * @param parent CRI's cgroup_parent: a path below each hierarchy
 * @param mounted where hierarchies are: tests have a tree of their own
 * @returns undefined where the kubelet has made none, or was told to make none
 * @throws KilnError invalid_argument `bad-cgroup-parent`
 */
export async function readPodLimits(parent: string, mounted = MOUNTED): Promise<PodLimits | undefined> {
  if (parent === "") return undefined;
  const isPath = parent.startsWith("/") && !parent.includes("\0") && !parent.split("/").includes("..");
  if (!isPath) {
    throw new KilnError(Code.InvalidArgument, `the pod's cgroup ${JSON.stringify(parent)} is no path`, {
      reason: "bad-cgroup-parent",
      hint: "the kubelet's cgroupDriver has to be cgroupfs",
    });
  }
  const at = (hierarchy: string): Read => {
    return (file) => readIfThere(join(mounted, hierarchy, parent, file));
  };
  return (await readVersion2(at(""))) ?? (await readVersion1(at("memory"), at("cpu")));
}

/**
 * "max", or a number of bytes; "MAX_OR_QUOTA PERIOD". Not cpu.weight: which shares it stands for depends on the kubelet's
 * version, and CRI says them.
 */
async function readVersion2(read: Read): Promise<PodLimits | undefined> {
  const [memory, cpu] = await Promise.all([read("memory.max"), read("cpu.max")]);
  if (memory === undefined && cpu === undefined) return undefined;
  const [quota, period] = (cpu ?? "").split(" ").map(Number);
  return { memoryBytes: positive(memory), cpus: share(quota, period) };
}

async function readVersion1(memory: Read, cpu: Read): Promise<PodLimits | undefined> {
  const [limit, quota, period, shares] = await Promise.all([
    memory("memory.limit_in_bytes"),
    cpu("cpu.cfs_quota_us"),
    cpu("cpu.cfs_period_us"),
    cpu("cpu.shares"),
  ]);
  if (limit === undefined && quota === undefined) return undefined;
  const bytes = positive(limit);
  return {
    memoryBytes: bytes !== undefined && bytes < NO_LIMIT_V1 ? bytes : undefined,
    cpus: share(Number(quota ?? -1), Number(period ?? 0)),
    cpuRequest: shares === undefined ? undefined : Number(shares) / SHARES_A_CPU,
  };
}

function share(quota = Number.NaN, period = Number.NaN): number | undefined {
  return quota > 0 && period > 0 ? quota / period : undefined;
}

function positive(text: string | undefined): number | undefined {
  const number = Number(text);
  return Number.isFinite(number) && number > 0 ? number : undefined;
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, "utf8")).trim();
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "ENODEV"].includes(errnoOf(error) ?? "")) return undefined;
    throw KilnError.from(error, `read the pod's cgroup ${path}`);
  }
}
