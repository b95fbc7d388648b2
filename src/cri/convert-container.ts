// What CRI asks of a container, in the engine's words. Numbers and paths are bounded here; what a VM can't do is refused.

import { Code, KilnError } from "../base/errors.js";
import type { ContainerSpec } from "../engine/index.js";
import {
  type ContainerConfig,
  type Device,
  type LinuxContainerResources,
  type Mount,
  MountPropagation,
} from "../gen/runtime/v1/api_pb.js";
import { type PlacedSecurity, toSecurity } from "./convert-security.js";
import { textOf } from "./words.js";

type ContainerMount = ContainerSpec["mounts"][number];

/** What was found and made for a container before it is planned. */
export interface Placed extends PlacedSecurity {
  /** Where each of the configuration's mounts is in the guest, in their order. */
  readonly mounts: readonly string[];
}

/**
 * @throws KilnError invalid_argument `bad-container` for what is nothing, failed_precondition `not-in-a-vm` for what a VM
 *   can't give, unimplemented `cri-unimplemented`
 */
export function toContainerSpec(config: ContainerConfig, placed: Placed): ContainerSpec {
  if (config.windows !== undefined) throw bad("is one of Windows");
  if (config.CDIDevices.length > 0) {
    throw new KilnError(Code.FailedPrecondition, "a container in a VM can't have the host's CDI devices", {
      reason: "not-in-a-vm",
      hint: "leave it to another runtime class",
    });
  }
  return {
    command: config.command,
    args: config.args,
    workdir: config.workingDir,
    env: config.envs.map(({ key, value }) => ({ name: key, value })),
    tty: config.tty,
    mounts: config.mounts.map((mount, at) => toMount(mount, placed.mounts[at])),
    devices: config.devices.map(toDevice),
    resources: toResources(config.linux?.resources),
    security: toSecurity(config.linux?.securityContext, placed),
  };
}

const PROPAGATIONS = new Map<MountPropagation, ContainerMount["propagation"]>([
  [MountPropagation.PROPAGATION_PRIVATE, "private"],
  [MountPropagation.PROPAGATION_HOST_TO_CONTAINER, "host-to-container"],
  [MountPropagation.PROPAGATION_BIDIRECTIONAL, "bidirectional"],
]);

function toMount(mount: Mount, source: string | undefined): ContainerMount {
  const { containerPath: target, hostPath, image, readonly, recursiveReadOnly, mountOptions } = mount;
  const propagation = PROPAGATIONS.get(mount.propagation);
  const where = `mount at ${textOf(target)}`;
  if (propagation === undefined) throw bad(`has a ${where} with propagation ${mount.propagation}`);
  if ((image === undefined) === (hostPath === ""))
    throw bad(`has a ${where} of neither path nor image, or of both`);
  if (mount.uidMappings.length + mount.gidMappings.length > 0) {
    throw new KilnError(Code.Unimplemented, `kiln can't map the ids of a ${where} yet`, {
      reason: "cri-unimplemented",
    });
  }
  if (source === undefined) throw new TypeError("every mount has a place in the guest");
  // An image is shared with other containers and pods.
  const readOnly = readonly || image !== undefined;
  return { source, target, readOnly, recursiveReadOnly, propagation, options: mountOptions };
}

/** The guest's own device of that name: those of the host are not in it. */
function toDevice({ hostPath, containerPath, permissions }: Device): ContainerSpec["devices"][number] {
  const target = containerPath || hostPath;
  for (const path of [hostPath, target]) {
    if (!/^\/dev\/[^\0]+$/.test(path) || path.split("/").includes("..")) {
      throw bad(`has a device that is none: ${textOf(path)}`);
    }
  }
  if (!/^[rwm]{0,3}$/.test(permissions)) throw bad(`has a device with permissions ${textOf(permissions)}`);
  return { source: hostPath, target, permissions: permissions || "rwm" };
}

const OOM_SCORE = 1000;

function toResources(asked: LinuxContainerResources | undefined): ContainerSpec["resources"] {
  const oomScoreAdj = numberOf(asked?.oomScoreAdj);
  if (Math.abs(oomScoreAdj) > OOM_SCORE) throw bad(`has an oom_score_adj of ${oomScoreAdj}`);
  const pages = (asked?.hugepageLimits ?? []).map(
    ({ pageSize, limit }) => [pageSize, numberOf(limit)] as const,
  );
  return {
    cpuPeriodUs: numberOf(asked?.cpuPeriod),
    cpuQuotaUs: numberOf(asked?.cpuQuota),
    cpuShares: numberOf(asked?.cpuShares),
    cpus: setOf(asked?.cpusetCpus),
    memoryNodes: setOf(asked?.cpusetMems),
    memoryBytes: numberOf(asked?.memoryLimitInBytes),
    memorySwapBytes: numberOf(asked?.memorySwapLimitInBytes),
    oomScoreAdj,
    hugePages: Object.fromEntries(pages),
    unified: unifiedOf(asked?.unified ?? {}),
  };
}

/** What is beyond 2^53 limits nothing that there is. */
function numberOf(value: bigint | undefined): number {
  const most = BigInt(Number.MAX_SAFE_INTEGER);
  const bounded = value === undefined ? 0n : value > most ? most : value < -most ? -most : value;
  return Number(bounded);
}

/** "0-2,4" */
function setOf(text = ""): string {
  if (/^[0-9,-]{0,1024}$/.test(text)) return text;
  throw bad(`is to run on CPUs or memory nodes ${textOf(text)}`);
}

/** Names of files in one directory: nothing that leads out of it. */
function unifiedOf(files: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const odd = Object.keys(files).find((name) => !/^[a-z0-9_]+(\.[A-Za-z0-9_]+)+$/.test(name));
  if (odd === undefined) return { ...files };
  throw bad(`has a limit ${textOf(odd)}, which is no file of a cgroup`);
}

function bad(why: string): KilnError {
  return new KilnError(Code.InvalidArgument, `the container ${why}`, { reason: "bad-container" });
}
