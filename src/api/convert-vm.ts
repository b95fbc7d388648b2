// VMs between the engine's types and the wire's.

import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { defined } from "../base/defined.js";
import { Code, KilnError } from "../base/errors.js";
import {
  defaultConfig,
  type PortBinding,
  type RestartPolicy,
  type VmConfig,
  type VmState,
  type VmView,
} from "../engine/index.js";
import type {
  VmConfigSchema,
  VmSchema,
  VmStatusSchema,
  VmConfig as WireConfig,
  PortBinding as WirePort,
  RestartPolicy as WireRestart,
} from "../gen/kiln/v1/types_pb.js";
import { VmState as WireState } from "../gen/kiln/v1/types_pb.js";
import { fromMounts, toMountStatuses, toMounts } from "./convert-mounts.js";
import { fromNetworks, toNetworkStatuses, toNetworks } from "./convert-networks.js";

const STATES: Readonly<Record<VmState, WireState>> = {
  created: WireState.CREATED,
  starting: WireState.STARTING,
  running: WireState.RUNNING,
  paused: WireState.PAUSED,
  stopping: WireState.STOPPING,
  exited: WireState.EXITED,
  failed: WireState.FAILED,
};

export function toVm(vm: VmView): MessageInitShape<typeof VmSchema> {
  return toVmWith(vm, 0);
}

/** With what is asked for where one VM is looked at. */
export function toVmWith(vm: VmView, egressDenied: number): MessageInitShape<typeof VmSchema> {
  return {
    id: vm.id,
    name: vm.name,
    config: toConfig(vm.config),
    status: toStatusWith(vm, egressDenied),
    createdAt: toTimestamp(vm.createdAt),
  };
}

/** Also of a VM that has been removed. */
export function toStatus(vm: VmView): MessageInitShape<typeof VmStatusSchema> {
  return toStatusWith(vm, 0);
}

function toStatusWith(vm: VmView, egressDenied: number): MessageInitShape<typeof VmStatusSchema> {
  const { status, mode } = vm;
  return {
    mode,
    state: STATES[status.state],
    exitCode: status.exitCode,
    reason: status.reason,
    message: status.message,
    startedAt: toTimestamp(status.startedAt),
    expiresAt: toTimestamp(status.expiresAt),
    finishedAt: toTimestamp(status.finishedAt),
    pid: status.vmm?.process.pid ?? 0,
    vmm: status.vmmKind,
    accelerator: status.accelerator,
    kernelRelease: status.kernelRelease,
    restartCount: status.restartCount,
    ports: [...status.ports],
    ipAddress: status.ipAddress,
    oomKilled: status.oomKilled,
    timings: status.timings,
    mounts: toMountStatuses(vm),
    networks: toNetworkStatuses(vm),
    egressDenied: BigInt(egressDenied),
  };
}

function toConfig(config: VmView["config"]): MessageInitShape<typeof VmConfigSchema> {
  return {
    ...config,
    ...toMounts(config),
    ...toNetworks(config),
    ...{ command: [...config.command], entrypoint: [...config.entrypoint], env: [...config.env] },
    ...{ kernelArgs: [...config.kernelArgs], dns: [...config.dns], addHosts: [...config.addHosts] },
    publish: [...config.publish],
    labels: { ...config.labels },
    memoryBytes: BigInt(config.memoryBytes),
    diskBytes: BigInt(config.diskBytes),
    lifetimeMs: BigInt(config.lifetimeMs),
  };
}

/**
 * @throws KilnError invalid_argument for words that are not in their list
 */
export function fromConfig(wire: WireConfig | undefined): VmConfig {
  if (wire === undefined) throw invalid("bad-config", "the request holds no configuration");
  return {
    ...defaultConfig(wire.image),
    ...fromMounts(wire),
    ...fromNetworks(wire),
    name: wire.name,
    command: wire.command,
    entrypoint: wire.entrypoint,
    entrypointSet: wire.entrypointSet,
    env: wire.env,
    workdir: wire.workdir,
    user: wire.user,
    hostname: wire.hostname,
    labels: wire.labels,
    publish: wire.publish.map(fromPort),
    publishAll: wire.publishAll,
    cpus: wire.cpus,
    memoryBytes: Number(wire.memoryBytes),
    diskBytes: Number(wire.diskBytes),
    kernel: wire.kernel,
    kernelArgs: wire.kernelArgs,
    init: oneOf("init", wire.init, ["auto", "app", "system"] as const),
    restart: fromRestart(wire.restart),
    network: networkOf(wire),
    dns: wire.dns,
    addHosts: wire.addHosts,
    platform: wire.platform,
    vmm: wire.vmm,
    stopSignal: wire.stopSignal,
    stopTimeoutMs: wire.stopTimeoutMs,
    tty: wire.tty,
    openStdin: wire.openStdin,
    autoRemove: wire.autoRemove,
    ttyColumns: wire.ttyColumns,
    ttyRows: wire.ttyRows,
    lifetimeMs: Number(wire.lifetimeMs),
  };
}

/** With named networks the other one is there where it is named, too. */
function networkOf({ network, networks }: WireConfig): VmConfig["network"] {
  const isLeftOut = network === "" && networks.length > 0;
  return isLeftOut ? "none" : oneOf("network", network, ["user", "none"] as const);
}

const POLICIES = ["no", "on-failure", "always", "unless-stopped"] as const;

/** @throws KilnError invalid_argument `bad-restart-policy` */
function fromRestart(policy: WireRestart | undefined): RestartPolicy {
  return restartOf(policy, POLICIES);
}

/** Of a program that ends with its VM. @throws as `fromRestart` */
export function fromExecRestart(policy: WireRestart | undefined): RestartPolicy {
  // The engine knows why there is no unless-stopped.
  return restartOf(policy, policy?.name === "unless-stopped" ? POLICIES : ["no", "on-failure", "always"]);
}

function restartOf(
  policy: WireRestart | undefined,
  words: readonly ["no", ...(typeof POLICIES)[number][]],
): RestartPolicy {
  const { name = "", maximumRetryCount = 0 } = policy ?? {};
  const more = name.startsWith("on-failure:") ? "; the number of retries is a field of its own" : "";
  return { name: oneOf("restart policy", name, words, more), maximumRetryCount };
}

/** @throws KilnError invalid_argument `bad-port` */
export function fromPort(port: WirePort): PortBinding {
  const { hostIp, hostPort, hostPortEnd, vmPort } = port;
  const protocol = oneOf("port", port.protocol, ["tcp", "udp"] as const);
  return defined({ hostIp, hostPort, vmPort, protocol, hostPortEnd: hostPortEnd || undefined });
}

/** The word if it is in the list; the list's first for "". */
function oneOf<const T extends string>(
  what: string,
  word: string,
  words: readonly [T, ...T[]],
  more = "",
): T {
  if (word === "") return words[0];
  const found = words.find((known) => known === word);
  if (found !== undefined) return found;
  const reason = `bad-${what.replaceAll(" ", "-")}`;
  throw invalid(reason, `"${word}" is no ${what}`, `choose one of ${words.join(", ")}${more}`);
}

/** ISO 8601 to the wire; a time that is not known stays so. */
export function toTimestamp(iso: string | undefined): Timestamp | undefined {
  return iso === undefined ? undefined : timestampFromDate(new Date(iso));
}

/** Nanoseconds since 1970 to the wire, where the part of a second is never negative. */
export function timestampFromNs(ns: bigint): Timestamp {
  const nanos = ((ns % NANO) + NANO) % NANO;
  return { ...timestampFromMs(0), seconds: (ns - nanos) / NANO, nanos: Number(nanos) };
}

/** The wire to nanoseconds since 1970. */
export function nsFromTimestamp(time: Timestamp | undefined): bigint | undefined {
  return time === undefined ? undefined : time.seconds * NANO + BigInt(time.nanos);
}

const NANO = 1_000_000_000n;

function invalid(reason: string, message: string, hint?: string): KilnError {
  return new KilnError(Code.InvalidArgument, message, { reason, hint });
}
