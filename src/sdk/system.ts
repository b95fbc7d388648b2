// Answers about kilnd itself: version, info, disk usage.

import type { InfoResponseJson, PruneResponseJson, VersionResponseJson } from "../gen/kiln/v1/system_pb.js";
import { kernelFromJson, numberOf } from "./convert.js";
import type { CallOptions } from "./deadline.js";
import { CALL, type NamesOf } from "./known-options.js";
import type { PruneResult, SystemInfo, VersionInfo } from "./types.js";

/** Options of `kiln.images.prune()`. */
export interface PruneOptions extends CallOptions {
  /** Every image that no VM uses. */
  readonly all?: boolean | undefined;
  /** "until=24h", "label=name=value". */
  readonly filter?: readonly string[] | undefined;
}

export const PRUNE_OPTIONS: NamesOf<PruneOptions> = { ...CALL, all: true, filter: true };

/** Options of `kiln.prune()`. */
export interface PruneAllOptions extends PruneOptions {
  /** Also volumes without a name that no VM has. */
  readonly volumes?: boolean | undefined;
}

export const PRUNE_ALL_OPTIONS: NamesOf<PruneAllOptions> = { ...PRUNE_OPTIONS, volumes: true };

/** A VersionResponse message. */
export function versionFromJson(json: VersionResponseJson = {}): VersionInfo {
  return {
    version: json.version ?? "",
    apiVersion: json.apiVersion ?? "",
    agentVersion: json.agentVersion ?? "",
    nodeVersion: json.nodeVersion ?? "",
    platform: json.platform ?? "",
  };
}

/** An InfoResponse message. */
export function infoFromJson(json: InfoResponseJson): SystemInfo {
  return {
    version: versionFromJson(json.version),
    vmms: (json.vmms ?? []).map((vmm) => ({
      vmm: vmm.vmm ?? "",
      accelerator: vmm.accelerator ?? "",
      version: vmm.version ?? "",
      chosen: vmm.chosen ?? false,
      why: vmm.why ?? "",
      path: vmm.path ?? "",
      capabilities: vmm.capabilities ?? {},
    })),
    kernel: json.kernel === undefined ? undefined : kernelFromJson(json.kernel),
    dataRoot: json.dataRoot ?? "",
    runRoot: json.runRoot ?? "",
    socket: json.socket ?? "",
    pid: json.pid ?? 0,
    cpus: json.cpus ?? 0,
    memoryBytes: numberOf(json.memoryBytes),
    diskFreeBytes: numberOf(json.diskFreeBytes),
    rootless: json.rootless ?? false,
    vms: json.vms ?? 0,
    vmsRunning: json.vmsRunning ?? 0,
    images: json.images ?? 0,
    settings: (json.settings ?? []).map(({ name = "", value = "", origin = "" }) => ({
      name,
      value,
      origin,
    })),
    warnings: json.warnings ?? [],
    confinement: (json.confinement ?? []).map(({ part = "", holds = false, why = "" }) => ({
      part,
      holds,
      why,
    })),
  };
}

/** A PruneResponse message. */
export function pruneFromJson(json: PruneResponseJson): PruneResult {
  return {
    vms: json.vms ?? [],
    images: json.images ?? [],
    bases: json.bases ?? [],
    volumes: json.volumes ?? [],
    networks: json.networks ?? [],
    reclaimedBytes: numberOf(json.reclaimedBytes),
  };
}
