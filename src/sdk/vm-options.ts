// What a caller may ask of a new VM, and its form on the wire.

import { defined } from "../base/defined.js";
import { Code, KilnError } from "../base/errors.js";
import { DEFAULT_HOST_IP, parsePortMappings } from "../base/ports.js";
import type { RestartPolicyJson, VmConfigJson } from "../gen/kiln/v1/types_pb.js";
import type { CallOptions } from "./deadline.js";
import { CALL, checkOptions, type NamesOf } from "./known-options.js";
import type { Mount, Ulimit } from "./mount-types.js";
import { planMount, planSysctls, planTmpfs, planUlimit } from "./mounts.js";
import { NETWORK_OPTIONS, type NetworkOptions, planNetworks } from "./network-options.js";
import { wireDiskSize, wireSize } from "./size.js";
import type { PortBinding, Progress, RestartPolicy, Size } from "./types.js";

/** Options of `kiln.create()` and `kiln.run()`, which are the same. Names and defaults are those of `kiln run`'s flags. */
export interface VmOptions extends CallOptions, NetworkOptions {
  readonly name?: string | undefined;
  /** Replaces the image's CMD. */
  readonly command?: readonly string[] | undefined;
  /** Replaces the image's ENTRYPOINT; `[]` empties it. */
  readonly entrypoint?: readonly string[] | undefined;
  /** In a list, a name alone takes the image's variable away. */
  readonly env?: Readonly<Record<string, string>> | readonly string[] | undefined;
  readonly workdir?: string | undefined;
  /** User, uid, user:group or uid:gid. */
  readonly user?: string | undefined;
  readonly hostname?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** "8080:80", "127.0.0.1:8080:80/tcp", "53:53/udp", "80", "8080-8090:80" (the first free one), or bindings. */
  readonly publish?: readonly (string | Partial<PortBinding>)[] | undefined;
  /** Publishes every port that the image exposes. */
  readonly publishAll?: boolean | undefined;
  /** Default 1. */
  readonly cpus?: number | undefined;
  /** Default 512 MiB. */
  readonly memory?: Size | undefined;
  /** Of the root disk, sparse. Default 64 GiB. */
  readonly disk?: Size | undefined;
  readonly kernel?: string | undefined;
  /** Added to the kernel command line. */
  readonly kernelArgs?: readonly string[] | undefined;
  /** "app": the image's program; "system": the image's /sbin/init; "auto": decided by the image. */
  readonly init?: "auto" | "app" | "system" | undefined;
  readonly restart?: RestartPolicy["name"] | RestartPolicy | undefined;
  /** Host names to addresses, for the guest's /etc/hosts. */
  readonly addHosts?: Readonly<Record<string, string>> | readonly string[] | undefined;
  /** "linux/amd64". */
  readonly platform?: string | undefined;
  /** Default: chosen by kilnd. */
  readonly vmm?: "qemu" | "firecracker" | undefined;
  /** "SIGTERM", "TERM" or "15". */
  readonly stopSignal?: string | undefined;
  readonly stopTimeoutMs?: number | undefined;
  /** Runs the program on a terminal. */
  readonly tty?: boolean | undefined;
  readonly ttySize?: TerminalSize | undefined;
  /** Keeps the program's stdin open, to be written through `attach()`. */
  readonly openStdin?: boolean | undefined;
  /** The VM removes itself once its program has ended. */
  readonly autoRemove?: boolean | undefined;
  /**
   * The VM is stopped this long after its program began, whatever its restart policy; kilnd sees to it, also where this
   * program is gone. Its end has the reason "lifetime-over". Default: none.
   */
  readonly lifetimeMs?: number | undefined;
  /**
   * "NAME:/path[:ro]", "./host/path:/path", "/dev/sdb1:/path", "/path" (a volume of its own), "type=tmpfs,target=/t", or
   * mounts. Relative paths are this process's.
   */
  readonly mounts?: readonly (string | Partial<Mount>)[] | undefined;
  /** "/run", "/run:size=64m,mode=755,noexec". */
  readonly tmpfs?: readonly string[] | undefined;
  /** Nobody in the VM can write to its root; to mounts and /dev/shm they can. */
  readonly readOnlyRoot?: boolean | undefined;
  /** Of /dev/shm. Default: half of the memory. */
  readonly shmSize?: Size | undefined;
  /** "nofile=1024:4096", or limits: of all programs in the VM that kiln starts. */
  readonly ulimits?: readonly (string | Ulimit)[] | undefined;
  /** Settings of the VM's kernel: `{ "net.core.somaxconn": 1024 }`. */
  readonly sysctls?: Readonly<Record<string, string | number>> | readonly string[] | undefined;
  /** Default "missing". */
  readonly pull?: "missing" | "always" | "never" | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

export const VM_OPTIONS: NamesOf<VmOptions> = {
  ...CALL,
  ...NETWORK_OPTIONS,
  name: true,
  command: true,
  entrypoint: true,
  env: true,
  workdir: true,
  user: true,
  hostname: true,
  labels: true,
  publish: true,
  publishAll: true,
  cpus: true,
  memory: true,
  disk: true,
  kernel: true,
  kernelArgs: true,
  init: true,
  restart: true,
  addHosts: true,
  platform: true,
  vmm: true,
  stopSignal: true,
  stopTimeoutMs: true,
  tty: true,
  ttySize: true,
  openStdin: true,
  autoRemove: true,
  lifetimeMs: true,
  ...{ mounts: true, tmpfs: true, readOnlyRoot: true, shmSize: true, ulimits: true, sysctls: true },
  pull: true,
  onProgress: true,
};

/** Options of `kiln.run()`. */
export type RunOptions = VmOptions;

/** Options of `kiln.vms.create()`. */
export type CreateOptions = VmOptions;

/** Size of a terminal, in characters. */
export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

const PORT_FIELDS: NamesOf<PortBinding> = {
  hostIp: true,
  hostPort: true,
  hostPortEnd: true,
  vmPort: true,
  protocol: true,
};

const RESTART_FIELDS: NamesOf<RestartPolicy> = { name: true, maximumRetryCount: true };

export const TERMINAL_SIZE_FIELDS: NamesOf<TerminalSize> = { columns: true, rows: true };

/** The message that asks for this VM. */
export function planVmConfig(image: string, options: VmOptions): VmConfigJson {
  const { restart, ttySize } = options;
  if (ttySize !== undefined) checkOptions("ttySize", ttySize, TERMINAL_SIZE_FIELDS);
  return withoutUndefined({
    image,
    name: options.name,
    command: options.command?.slice(),
    entrypoint: options.entrypoint?.slice(),
    entrypointSet: options.entrypoint === undefined ? undefined : true,
    env: options.env === undefined ? undefined : pairs(options.env, "="),
    workdir: options.workdir,
    user: options.user,
    hostname: options.hostname,
    labels: options.labels === undefined ? undefined : { ...options.labels },
    publish: options.publish?.flatMap(planPorts),
    publishAll: options.publishAll,
    cpus: options.cpus,
    memoryBytes: sizeOf(options.memory, "memory"),
    diskBytes: options.disk === undefined ? undefined : wireDiskSize(options.disk, "disk"),
    kernel: options.kernel,
    kernelArgs: options.kernelArgs?.slice(),
    init: options.init,
    restart: restart === undefined ? undefined : planRestart(restart),
    addHosts: options.addHosts === undefined ? undefined : pairs(options.addHosts, ":"),
    platform: options.platform,
    vmm: options.vmm,
    stopSignal: options.stopSignal,
    stopTimeoutMs: options.stopTimeoutMs,
    tty: options.tty,
    openStdin: options.openStdin,
    autoRemove: options.autoRemove,
    lifetimeMs: options.lifetimeMs === undefined ? undefined : wholeMs(options.lifetimeMs),
    ttyColumns: ttySize?.columns,
    ttyRows: ttySize?.rows,
    ...planFiles(options),
    ...planNetworks(options),
  });
}

function planFiles(options: VmOptions) {
  const { mounts = [], tmpfs = [], ulimits, sysctls } = options;
  const all = [...mounts.map(planMount), ...tmpfs.map(planTmpfs)];
  return {
    mounts: all.length === 0 ? undefined : all,
    readOnlyRoot: options.readOnlyRoot,
    shmBytes: sizeOf(options.shmSize, "shmSize"),
    ulimits: ulimits?.map(planUlimit),
    sysctls: sysctls === undefined ? undefined : planSysctls(sysctls),
  };
}

/** The policy that a word, or a whole one, means. */
export function planRestart(restart: RestartPolicy["name"] | RestartPolicy): RestartPolicyJson {
  if (typeof restart === "string") return { name: restart };
  checkOptions("restart", restart, RESTART_FIELDS);
  return restart;
}

/** Bindings with every field, of a spec or of a part of a binding. */
export function planPorts(port: string | Partial<PortBinding>): PortBinding[] {
  if (typeof port === "string") return parsePortMappings(port);
  checkOptions("publish a port", port, PORT_FIELDS);
  const { hostIp = DEFAULT_HOST_IP, hostPort = 0, vmPort = 0, protocol = "tcp", hostPortEnd } = port;
  return [defined({ hostIp, hostPort, vmPort, protocol, hostPortEnd })];
}

/** "K=V" strings of a record or of such strings. */
export function pairs(
  values: Readonly<Record<string, string>> | readonly string[],
  separator: "=" | ":",
): string[] {
  if (Array.isArray(values)) return values.slice();
  return Object.entries(values).map(([key, value]) => `${key}${separator}${value}`);
}

function sizeOf(size: Size | undefined, what: string): string | undefined {
  return size === undefined ? undefined : wireSize(size, what);
}

/** @throws KilnError invalid_argument `bad-lifetime` */
export function wholeMs(lifetimeMs: number): string {
  if (lifetimeMs >= 0 && lifetimeMs <= Number.MAX_SAFE_INTEGER) return String(Math.ceil(lifetimeMs));
  throw new KilnError(Code.InvalidArgument, `lifetimeMs ${lifetimeMs} is no time`, {
    reason: "bad-lifetime",
  });
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** Drops absent members: `undefined` and "not there" differ on the wire's side of the types. */
export function withoutUndefined<T extends object>(value: T): Partial<Defined<T>> {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as Partial<
    Defined<T>
  >;
}
