// From what a container is to be to crun's config.json, and to what the agent does around it. Pure: nothing is read or made.

import { defined } from "../../../base/defined.js";
import type { ImageRunConfig } from "../../../image/types.js";
import type { ContainerDevice, ContainerSpec } from "../containers/spec.js";
import { planCapabilities } from "./capabilities.js";
import { type PodFiles, planMounts, rootPropagation } from "./mounts.js";
import { planArguments, planDirectory, planEnvironment } from "./process.js";
import { planResources } from "./resources.js";
import type { OciConfig, OciNamespace, OciRlimit } from "./types.js";
import { planUser, type UserOrder } from "./user.js";

const OCI_VERSION = "1.0.2";
/** Below the bundle: the agent mounts it there. */
const ROOT = "rootfs";
/** Of all containers, in the guest. */
const CGROUPS = "/kubepods";

/** The pod, as far as its containers are concerned. */
export interface PodFacts {
  readonly hostname: string;
  readonly files: PodFiles;
  /** What every process of the pod's has, as on the node. */
  readonly rlimits: readonly OciRlimit[];
  /**
   * By path, of a pod whose users are others than the guest's: its network, ipc and uts namespaces belong to that user
   * namespace. Undefined: the guest's own of all, and nothing is to be joined.
   */
  readonly namespaces?: Readonly<Record<"user" | "network" | "ipc" | "uts", string>> | undefined;
}

export interface ContainerPlan {
  /** config.json, but for the numbers of the user and of devices, which the agent finds out. */
  readonly config: OciConfig;
  readonly user: UserOrder;
  /** "NAME=value" that is no UTF-8. */
  readonly rawEnvironment: readonly Uint8Array[];
  readonly devices: readonly ContainerDevice[];
  /** Every device of the guest's is shown. */
  readonly allDevices: boolean;
}

/**
 * @param id names the container's cgroup
 * @throws KilnError invalid_argument `no-command`, `bad-text`, `bad-variable`, `group-without-user`, `bad-capability`, `bad-mount`
 */
export function planContainer(
  id: string,
  spec: ContainerSpec,
  image: ImageRunConfig,
  pod: PodFacts,
): ContainerPlan {
  const { security, resources } = spec;
  const { privileged } = security;
  const environment = planEnvironment(spec, image, pod.hostname);
  const config: OciConfig = {
    ociVersion: OCI_VERSION,
    process: {
      terminal: spec.tty,
      args: planArguments(spec, image),
      env: environment.text,
      cwd: planDirectory(spec, image),
      capabilities: planCapabilities(security.capabilities, privileged),
      rlimits: pod.rlimits,
      ...(security.noNewPrivileges ? { noNewPrivileges: true } : {}),
      // Always said: else it has what the agent has.
      oomScoreAdj: resources.oomScoreAdj,
    },
    root: { path: ROOT, readonly: security.readOnlyRoot },
    mounts: planMounts(spec.mounts, pod.files, security),
    linux: {
      cgroupsPath: `${CGROUPS}/${id}`,
      namespaces: planNamespaces(spec, pod),
      resources: planResources(resources, privileged),
      maskedPaths: privileged ? [] : security.maskedPaths,
      readonlyPaths: privileged ? [] : security.readOnlyPaths,
      ...defined({
        rootfsPropagation: rootPropagation(spec.mounts),
        seccomp: privileged ? undefined : security.seccomp,
      }),
    },
  };
  return {
    config,
    user: planUser(security.user, image.user),
    rawEnvironment: environment.bytes,
    devices: spec.devices,
    allDevices: privileged,
  };
}

/** Network, ipc and uts are the guest's own, which is the pod's: there is nobody else in it. */
function planNamespaces({ security }: ContainerSpec, { namespaces }: PodFacts): OciNamespace[] {
  const { pid, privileged } = security;
  const joined = Object.entries(namespaces ?? {}).map(([type, path]) => ({
    type: type as OciNamespace["type"],
    path,
  }));
  return [
    { type: "mount" },
    ...(pid.kind === "own" ? [{ type: "pid" as const }] : []),
    ...(pid.kind === "join" ? [{ type: "pid" as const, path: pid.path }] : []),
    ...(privileged ? [] : [{ type: "cgroup" as const }]),
    ...joined,
  ];
}
