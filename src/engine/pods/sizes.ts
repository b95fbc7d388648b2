// How large a pod's VM is. CRI says it three times over, and only one of them is always right: the cgroup that the kubelet
// has made for the pod. Its limit is there only where every container has one; the sums of CRI leave out those without
// (kubernetes#140810), so that a VM of that size would be too small. Pure.

import { Code, KilnError } from "../../base/errors.js";
import { formatMemory } from "../../base/units.js";

/** Limits as a cgroup, or CRI's resources, have them; undefined: none. */
export interface PodLimits {
  readonly memoryBytes?: number | undefined;
  /** Processors; parts of one too. */
  readonly cpus?: number | undefined;
  /** What the pod asks for at least: processors. */
  readonly cpuRequest?: number | undefined;
}

export interface PodSizeFacts {
  /** Of the pod's cgroup; undefined: there is none. What is limited there has the overhead in it. */
  readonly cgroup: PodLimits | undefined;
  /** CRI's sums over the containers that have a limit. */
  readonly resources: PodLimits;
  /** CRI's: what the RuntimeClass says that the VM takes beside the containers. */
  readonly overhead: PodLimits;
  /** Of the pod's annotations: what its author knows better. */
  readonly annotation: Pick<PodLimits, "memoryBytes" | "cpus">;
  readonly host: { readonly cpus: number; readonly memoryBytes: number };
  /** What the VMM and its helpers take on the host beside the guest's memory: inside of the same cgroup. */
  readonly besideBytes: number;
}

export interface PodSize {
  readonly vcpus: number;
  /** Of the guest. */
  readonly memoryBytes: number;
  /** What decided the memory: for messages, and whoever looks. */
  readonly by: "cgroup" | "resources" | "annotation" | "default";
}

const MIB = 1024 ** 2;
/** A kernel, an agent, and a small program. */
const LEAST_MEMORY = 64 * MIB;
/** Of a pod that nobody limits, as of a VM of which nobody says it. */
const DEFAULT_MEMORY = 512 * MIB;
/** Of a pod that may use all: more are seldom used, and each costs the boot. */
const USUAL_CPUS = 4;

/**
 * @throws KilnError failed_precondition `pod-too-small`: what is left for the guest can't boot
 */
export function planPodSize(facts: PodSizeFacts): PodSize {
  const { bytes, by } = planMemory(facts);
  const memoryBytes = Math.floor(bytes / MIB) * MIB;
  if (memoryBytes < LEAST_MEMORY) throw tooSmall(memoryBytes, by, facts);
  return { vcpus: planCpus(facts), memoryBytes: Math.min(memoryBytes, wholeMib(facts.host.memoryBytes)), by };
}

function planMemory(facts: PodSizeFacts): { readonly bytes: number; readonly by: PodSize["by"] } {
  const { cgroup, resources, overhead, annotation, besideBytes } = facts;
  const limit = cgroup?.memoryBytes;
  if (limit !== undefined) return { bytes: limit - besideBytes, by: "cgroup" };
  const summed = resources.memoryBytes;
  const declared = summed === undefined ? undefined : summed + (overhead.memoryBytes ?? 0) - besideBytes;
  // Without a cgroup nobody says that there is a container without a limit: the sum is all that is known.
  if (cgroup === undefined && declared !== undefined) return { bytes: declared, by: "resources" };
  const wanted = annotation.memoryBytes ?? DEFAULT_MEMORY;
  const by = annotation.memoryBytes === undefined ? "default" : "annotation";
  // The containers that do have a limit must be able to reach it.
  return declared !== undefined && declared > wanted
    ? { bytes: declared, by: "resources" }
    : { bytes: wanted, by };
}

function planCpus({ cgroup, resources, overhead, annotation, host }: PodSizeFacts): number {
  const summed = resources.cpus === undefined ? undefined : resources.cpus + (overhead.cpus ?? 0);
  const limit = cgroup === undefined ? summed : cgroup.cpus;
  const request = resources.cpuRequest ?? cgroup?.cpuRequest ?? 0;
  const wanted = limit ?? annotation.cpus ?? Math.max(request, Math.min(USUAL_CPUS, host.cpus));
  return Math.min(host.cpus, Math.max(1, Math.ceil(wanted)));
}

function wholeMib(bytes: number): number {
  return Math.floor(bytes / MIB) * MIB;
}

function tooSmall(memoryBytes: number, by: PodSize["by"], { besideBytes }: PodSizeFacts): KilnError {
  const [left, least, beside] = [Math.max(0, memoryBytes), LEAST_MEMORY, besideBytes].map(formatMemory);
  return new KilnError(
    Code.FailedPrecondition,
    `the pod's limit (${by}) leaves its VM ${left} of memory, and ${least} are the least`,
    {
      reason: "pod-too-small",
      hint: `raise its memory limit, or give its RuntimeClass an overhead: the VMM itself takes ${beside}`,
    },
  );
}
