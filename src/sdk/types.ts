// The nouns of the SDK: kiln.v1's messages with every field there, sizes as numbers and times as Dates.
// `kiln inspect` prints these as JSON, so a field's name is API.

import type { Mount, MountStatus, Ulimit } from "./mount-types.js";
import type { NetworkStatus, VmNetworks } from "./network-types.js";

/** Bytes, as a number or as people write them: "512MiB", "2GiB", "64g". Factors are binary. */
export type Size = number | `${number}${"" | "B" | "b" | SizeUnit | Lowercase<SizeUnit>}`;
type SizeUnit = "K" | "M" | "G" | "T" | "KB" | "MB" | "GB" | "TB" | "KiB" | "MiB" | "GiB" | "TiB";

/** States of a VM. `exited`: its program ended and said so; `failed`: anything else. */
export type VmState =
  | "unspecified"
  | "created"
  | "starting"
  | "running"
  | "paused"
  | "stopping"
  | "exited"
  | "failed";

/** A published port: connections to hostIp:hostPort reach vmPort in the guest. */
export interface PortBinding {
  /** "" is every address of the host. */
  readonly hostIp: string;
  /** 0 asks for any free one. */
  readonly hostPort: number;
  /** Above `hostPort`: asks for the first free one from there to here. Absent of what is bound. */
  readonly hostPortEnd?: number;
  readonly vmPort: number;
  readonly protocol: "tcp" | "udp";
}

/** What is done when the program ends. */
export interface RestartPolicy {
  readonly name: "no" | "on-failure" | "always" | "unless-stopped";
  /** `on-failure` only; 0: no limit. */
  readonly maximumRetryCount: number;
}

/** What the VM was asked to be. */
export interface VmConfig extends VmNetworks {
  readonly image: string;
  /** "sha256:...", of the image's config. */
  readonly imageId: string;
  readonly command: readonly string[];
  readonly entrypoint: readonly string[];
  /** "K=V". */
  readonly env: readonly string[];
  readonly workdir: string;
  readonly user: string;
  readonly hostname: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly publish: readonly PortBinding[];
  readonly publishAll: boolean;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly kernel: string;
  readonly kernelArgs: readonly string[];
  readonly init: string;
  readonly restart: RestartPolicy;
  readonly addHosts: readonly string[];
  readonly platform: string;
  readonly vmm: string;
  readonly stopSignal: string;
  readonly stopTimeoutMs: number;
  readonly tty: boolean;
  readonly openStdin: boolean;
  readonly autoRemove: boolean;
  /** 0: none. */
  readonly lifetimeMs: number;
  readonly mounts: readonly Mount[];
  readonly readOnlyRoot: boolean;
  /** Of /dev/shm; 0: half of the memory. */
  readonly shmBytes: number;
  readonly ulimits: readonly Ulimit[];
  readonly sysctls: Readonly<Record<string, string>>;
}

/** What the VM is now. */
export interface VmStatus {
  readonly state: VmState;
  readonly exitCode: number;
  /** Stable word: "program-exited", "vmm-died", "no-hello". */
  readonly reason: string;
  /** For people; of a failure with the last lines of the console. */
  readonly message: string;
  readonly startedAt: Date | undefined;
  readonly finishedAt: Date | undefined;
  /** When its lifetime is over, where it has one and was started. */
  readonly expiresAt: Date | undefined;
  /** Of the VMM; 0 where none runs. */
  readonly pid: number;
  readonly vmm: string;
  readonly accelerator: string;
  readonly kernelRelease: string;
  readonly restartCount: number;
  /** "app": the image's program; "system": the image's own init. */
  readonly mode: string;
  /** As bound, with the ports that were chosen. */
  readonly ports: readonly PortBinding[];
  readonly ipAddress: string;
  readonly oomKilled: boolean;
  readonly timings: BootTimings;
  readonly mounts: readonly MountStatus[];
  /** Named ones, in the order of its cards. */
  readonly networks: readonly NetworkStatus[];
  /** What it was refused of the world outside since it began; 0 of one that does not run, and in lists. */
  readonly egressDenied: number;
}

/** Milliseconds after the request to start; 0 where it has not come to that. */
export interface BootTimings {
  /** All is checked; kernel, base and disk are there. */
  readonly preparedMs: number;
  readonly spawnedMs: number;
  readonly helloMs: number;
  readonly startedMs: number;
  /** By the guest's own clock, which begins with its kernel. */
  readonly guest: GuestTimings;
}

/** When each step of the guest's agent was done, milliseconds of the guest's clock. */
export interface GuestTimings {
  /** The kernel has started the agent. */
  readonly initMs: number;
  readonly modulesMs: number;
  readonly helloMs: number;
  /** The root is mounted, the network set up. */
  readonly rootMs: number;
  readonly startedMs: number;
}

/** A VM as kilnd knows it. */
export interface VmInfo {
  /** 64 hex characters. */
  readonly id: string;
  readonly name: string;
  readonly createdAt: Date;
  readonly config: VmConfig;
  readonly status: VmStatus;
}

/** How an image runs (OCI image config). */
export interface ImageConfig {
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workdir: string;
  readonly user: string;
  readonly labels: Readonly<Record<string, string>>;
  /** "80/tcp". */
  readonly exposedPorts: readonly string[];
  readonly stopSignal: string;
  readonly volumes: readonly string[];
}

/** An image of the store. */
export interface ImageInfo {
  /** "sha256:...", of the config. */
  readonly id: string;
  readonly names: readonly string[];
  readonly digests: readonly string[];
  /** Of the compressed layers. */
  readonly sizeBytes: number;
  readonly createdAt: Date | undefined;
  readonly platform: string;
  readonly config: ImageConfig;
  /** Diff ids, lowest first. */
  readonly layers: readonly string[];
}

/** What a pull has brought. */
export interface PulledImage extends ImageInfo {
  /** What this pull has called it: its name, its digest name, or its id where it has neither. */
  readonly name: string;
}

/** A guest kernel of the store. */
export interface KernelInfo {
  readonly id: string;
  readonly name: string;
  /** `uname -r`. */
  readonly release: string;
  readonly source: string;
  readonly sizeBytes: number;
  readonly hasModules: boolean;
  readonly isDefault: boolean;
  /** Why it is, or is not, the default. */
  readonly why: string;
  readonly createdAt: Date | undefined;
}

/** One step of long work: a layer, a base, a kernel. */
export interface Progress {
  readonly id: string;
  readonly status: string;
  /** Bytes, unless `unit` says what else. */
  readonly current: number;
  /** 0: unknown. */
  readonly total: number;
  readonly message: string;
  /** "objects"; "" for bytes. */
  readonly unit: string;
}

/** What building a kernel gave. */
export interface BuiltKernel {
  /** As an image of the store, which can be tagged and inspected like any. */
  readonly image: ImageInfo;
  /** "localhost/kiln-kernel:6.1.192-amd64". */
  readonly imageName: string;
  /** undefined where it is for another architecture than the host's. */
  readonly kernel: KernelInfo | undefined;
  /** It was there: nothing was compiled. */
  readonly cached: boolean;
}

/** Something that happened. */
export interface KilnEvent {
  /** Give it to `kiln.events({ after })` to go on from here. */
  readonly cursor: number;
  readonly time: Date;
  readonly type: string;
  readonly action: string;
  readonly id: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** What one VM uses. */
export interface VmStats {
  readonly id: string;
  readonly name: string;
  /** Of one core, of the VMM process. */
  readonly cpuPercent: number;
  readonly memoryBytes: number;
  readonly memoryLimitBytes: number;
  readonly rssBytes: number;
  readonly netRxBytes: number;
  readonly netTxBytes: number;
  readonly blockReadBytes: number;
  readonly blockWriteBytes: number;
  readonly processes: number;
  /** What it was refused of the world outside since it began, by its egress policy or by what no policy opens. */
  readonly egressDenied: number;
}

/** Versions of kilnd and its parts. */
export interface VersionInfo {
  readonly version: string;
  readonly apiVersion: string;
  readonly agentVersion: string;
  readonly nodeVersion: string;
  readonly platform: string;
}

/** A VMM of this host, and why it is, or is not, the one used. */
export interface VmmChoice {
  readonly vmm: string;
  readonly accelerator: string;
  readonly version: string;
  readonly chosen: boolean;
  readonly why: string;
  readonly path: string;
  readonly capabilities: Readonly<Record<string, string>>;
}

/** A setting of kilnd, and where it comes from. */
export interface Setting {
  readonly name: string;
  readonly value: string;
  /** Which of flag, environment, file and default won. */
  readonly origin: string;
}

/** kilnd and its host. */
export interface SystemInfo {
  readonly version: VersionInfo;
  readonly vmms: readonly VmmChoice[];
  readonly kernel: KernelInfo | undefined;
  readonly dataRoot: string;
  readonly runRoot: string;
  readonly socket: string;
  /** Of kilnd; 0: it is older than this field. */
  readonly pid: number;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly diskFreeBytes: number;
  readonly rootless: boolean;
  readonly vms: number;
  readonly vmsRunning: number;
  readonly images: number;
  readonly settings: readonly Setting[];
  readonly warnings: readonly string[];
  /** What confines VMMs on this host: jail, cgroup. */
  readonly confinement: readonly ConfinementPart[];
}

/** A part of what confines VMMs, whether it holds, and why (not). */
export interface ConfinementPart {
  readonly part: string;
  readonly holds: boolean;
  readonly why: string;
}

/** What a prune removed: ids, and the disk given back. */
export interface PruneResult {
  readonly vms: readonly string[];
  readonly images: readonly string[];
  readonly bases: readonly string[];
  /** Names. */
  readonly volumes: readonly string[];
  /** Names. */
  readonly networks: readonly string[];
  readonly reclaimedBytes: number;
}

/** A path in a VM, as lstat(2) has it. */
export interface PathInfo {
  readonly name: string;
  readonly size: number;
  /** st_mode: type and permission bits. */
  readonly mode: number;
  readonly modifiedAt: Date | undefined;
  /** Of a symbolic link; else "". Bytes that are not UTF-8 are replaced. */
  readonly linkTarget: string;
  /** The same as it is. */
  readonly linkTargetBytes: Uint8Array;
}
