// JSON of the wire to the SDK's nouns: absent fields get their defaults, int64 strings become numbers, times Dates.

import { defined } from "../base/defined.js";
import type { BuiltKernelJson } from "../gen/kiln/v1/kernel_pb.js";
import type {
  BootTimingsJson,
  ImageConfigJson,
  ImageJson,
  KernelJson,
  PortBindingJson,
  ProgressJson,
  VmConfigJson,
  VmJson,
  VmStatusJson,
} from "../gen/kiln/v1/types_pb.js";
import { mountStatusFromJson, mountsFromJson } from "./mount-views.js";
import { networkStatusFromJson, networksFromJson } from "./network-views.js";
import type {
  BootTimings,
  BuiltKernel,
  ImageConfig,
  ImageInfo,
  KernelInfo,
  PortBinding,
  Progress,
  RestartPolicy,
  VmConfig,
  VmInfo,
  VmState,
  VmStatus,
} from "./types.js";

/** A number of the wire: int64 travel as strings, NaN and infinities as words. */
export function numberOf(value: number | string | undefined): number {
  return value === undefined ? 0 : Number(value);
}

/** A time of the wire (RFC 3339). */
export function dateOf(value: string | undefined): Date | undefined {
  return value === undefined ? undefined : new Date(value);
}

/** A Vm message. */
export function vmFromJson(json: VmJson | undefined): VmInfo {
  return {
    id: json?.id ?? "",
    name: json?.name ?? "",
    createdAt: dateOf(json?.createdAt) ?? new Date(0),
    config: configFromJson(json?.config ?? {}),
    status: statusFromJson(json?.status),
  };
}

function configFromJson(json: VmConfigJson): VmConfig {
  return {
    ...programFromJson(json),
    ...machineFromJson(json),
    ...mountsFromJson(json),
    ...networksFromJson(json),
  };
}

type ProgramField =
  | "image"
  | "imageId"
  | "command"
  | "entrypoint"
  | "env"
  | "workdir"
  | "user"
  | "init"
  | "restart";
type ProgramMore =
  | "stopSignal"
  | "stopTimeoutMs"
  | "tty"
  | "openStdin"
  | "autoRemove"
  | "lifetimeMs"
  | "labels";

/** What runs in the VM. */
function programFromJson(json: VmConfigJson): Pick<VmConfig, ProgramField | ProgramMore> {
  return {
    image: json.image ?? "",
    imageId: json.imageId ?? "",
    command: json.command ?? [],
    entrypoint: json.entrypoint ?? [],
    env: json.env ?? [],
    workdir: json.workdir ?? "",
    user: json.user ?? "",
    labels: json.labels ?? {},
    init: json.init ?? "",
    restart: {
      name: (json.restart?.name || "no") as RestartPolicy["name"],
      maximumRetryCount: json.restart?.maximumRetryCount ?? 0,
    },
    stopSignal: json.stopSignal ?? "",
    stopTimeoutMs: json.stopTimeoutMs ?? 0,
    tty: json.tty ?? false,
    openStdin: json.openStdin ?? false,
    autoRemove: json.autoRemove ?? false,
    lifetimeMs: numberOf(json.lifetimeMs),
  };
}

/** The machine it runs on. */
function machineFromJson(
  json: VmConfigJson,
): Omit<
  VmConfig,
  | ProgramField
  | ProgramMore
  | keyof ReturnType<typeof mountsFromJson>
  | keyof ReturnType<typeof networksFromJson>
> {
  return {
    hostname: json.hostname ?? "",
    publish: (json.publish ?? []).map(portFromJson),
    publishAll: json.publishAll ?? false,
    cpus: numberOf(json.cpus),
    memoryBytes: numberOf(json.memoryBytes),
    diskBytes: numberOf(json.diskBytes),
    kernel: json.kernel ?? "",
    kernelArgs: json.kernelArgs ?? [],
    addHosts: json.addHosts ?? [],
    platform: json.platform ?? "",
    vmm: json.vmm ?? "",
  };
}

/** A VmStatus message. */
export function statusFromJson(json: VmStatusJson = {}): VmStatus {
  return {
    state: stateFromJson(json.state),
    exitCode: json.exitCode ?? 0,
    reason: json.reason ?? "",
    message: json.message ?? "",
    startedAt: dateOf(json.startedAt),
    finishedAt: dateOf(json.finishedAt),
    expiresAt: dateOf(json.expiresAt),
    pid: json.pid ?? 0,
    vmm: json.vmm ?? "",
    accelerator: json.accelerator ?? "",
    kernelRelease: json.kernelRelease ?? "",
    restartCount: json.restartCount ?? 0,
    mode: json.mode ?? "",
    ports: (json.ports ?? []).map(portFromJson),
    ipAddress: json.ipAddress ?? "",
    oomKilled: json.oomKilled ?? false,
    timings: timingsFromJson(json.timings),
    mounts: (json.mounts ?? []).map(mountStatusFromJson),
    networks: (json.networks ?? []).map(networkStatusFromJson),
    egressDenied: numberOf(json.egressDenied),
  };
}

function timingsFromJson(json: BootTimingsJson = {}): BootTimings {
  const { guest = {} } = json;
  return {
    preparedMs: numberOf(json.preparedMs),
    spawnedMs: numberOf(json.spawnedMs),
    helloMs: numberOf(json.helloMs),
    startedMs: numberOf(json.startedMs),
    guest: {
      initMs: numberOf(guest.initMs),
      modulesMs: numberOf(guest.modulesMs),
      helloMs: numberOf(guest.helloMs),
      rootMs: numberOf(guest.rootMs),
      startedMs: numberOf(guest.startedMs),
    },
  };
}

function stateFromJson(state: string | undefined): VmState {
  const word = (state ?? "").replace(/^VM_STATE_/, "").toLowerCase();
  return word === "" ? "unspecified" : (word as VmState);
}

/** A PortBinding message. */
export function portFromJson(json: PortBindingJson | undefined): PortBinding {
  const protocol: PortBinding["protocol"] = json?.protocol === "udp" ? "udp" : "tcp";
  return defined({
    hostIp: json?.hostIp ?? "",
    hostPort: json?.hostPort ?? 0,
    hostPortEnd: json?.hostPortEnd || undefined, // 0 on the wire: no range
    vmPort: json?.vmPort ?? 0,
    protocol,
  });
}

/** An Image message. */
export function imageFromJson(json: ImageJson = {}): ImageInfo {
  return {
    id: json.id ?? "",
    names: json.names ?? [],
    digests: json.digests ?? [],
    sizeBytes: numberOf(json.sizeBytes),
    createdAt: dateOf(json.createdAt),
    platform: json.platform ?? "",
    config: imageConfigFromJson(json.config),
    layers: json.layers ?? [],
  };
}

function imageConfigFromJson(json: ImageConfigJson = {}): ImageConfig {
  return {
    env: json.env ?? [],
    entrypoint: json.entrypoint ?? [],
    cmd: json.cmd ?? [],
    workdir: json.workdir ?? "",
    user: json.user ?? "",
    labels: json.labels ?? {},
    exposedPorts: json.exposedPorts ?? [],
    stopSignal: json.stopSignal ?? "",
    volumes: json.volumes ?? [],
  };
}

/** A Kernel message. */
export function kernelFromJson(json: KernelJson): KernelInfo {
  return {
    id: json.id ?? "",
    name: json.name ?? "",
    release: json.release ?? "",
    source: json.source ?? "",
    sizeBytes: numberOf(json.sizeBytes),
    hasModules: json.hasModules ?? false,
    isDefault: json.isDefault ?? false,
    why: json.why ?? "",
    createdAt: dateOf(json.createdAt),
  };
}

/** A BuiltKernel message. */
export function builtKernelFromJson(json: BuiltKernelJson): BuiltKernel {
  return {
    image: imageFromJson(json.image),
    imageName: json.imageName ?? "",
    kernel: json.kernel === undefined ? undefined : kernelFromJson(json.kernel),
    cached: json.cached ?? false,
  };
}

/** A Progress message. */
export function progressFromJson(json: ProgressJson): Progress {
  return {
    id: json.id ?? "",
    status: json.status ?? "",
    current: numberOf(json.current),
    total: numberOf(json.total),
    message: json.message ?? "",
    unit: json.unit ?? "",
  };
}
