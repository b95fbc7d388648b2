// From a VM's record to what the VMM is given and what the agent is told. Pure: nothing is opened or made here.

import type { BootOrder, HostLine, ProcessLimit } from "../../agent/index.js";
import { defined } from "../../base/defined.js";
import { Code, KilnError } from "../../base/errors.js";
import type { CardSpec, DiskSpec, PortSpec, VmmCapabilities, VmmSpec } from "../../vmm/types.js";
import type { RunAs } from "../host/ownership.js";
import type { VmRecord } from "./record.js";
import { parseHostEntry } from "./validate.js";
import type { VmConfig } from "./vm-config.js";

export interface SpecFacts {
  readonly record: VmRecord;
  readonly runDirectory: string;
  readonly stateDirectory: string;
  readonly kernel: string;
  readonly initrd: string;
  readonly disks: readonly DiskSpec[];
  readonly cards: readonly CardSpec[];
  readonly ports: readonly PortSpec[];
  readonly hotplug?: boolean | undefined;
  readonly hotplugCards?: boolean | undefined;
  readonly runAs?: RunAs | undefined;
  /** For every process that is started for the VM. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
}

export function planSpec(facts: SpecFacts): VmmSpec {
  const { config, id } = facts.record;
  return {
    vmId: id,
    runDirectory: facts.runDirectory,
    stateDirectory: facts.stateDirectory,
    kernel: facts.kernel,
    initrd: facts.initrd,
    kernelArgs: config.kernelArgs,
    vcpus: config.cpus,
    memoryBytes: config.memoryBytes,
    disks: facts.disks,
    cards: facts.cards,
    ports: facts.ports,
    ...defined({ hotplug: facts.hotplug, hotplugCards: facts.hotplugCards }),
    ...defined({ runAs: facts.runAs, environment: facts.environment }),
  };
}

/** What the agent is told of what is attached to the VM. */
export interface GuestPart extends Partial<Pick<BootOrder, "root" | "modules" | "dns" | "mounts">> {
  readonly interfaces?: NonNullable<BootOrder["network"]>["interfaces"];
}

export interface BootFacts {
  readonly record: VmRecord;
  readonly capabilities: VmmCapabilities;
  readonly attached: GuestPart;
  readonly nowMs: number;
  /** Up to 64 fresh random bytes. */
  readonly entropy: Uint8Array;
  /** How long the guest may wait for an init of its own to be ready, before its answer. */
  readonly initPatienceMs: number;
  /** Files are written before the program starts. */
  readonly hold: boolean;
  /** Of other VMs, for /etc/hosts. */
  readonly names?: readonly HostLine[] | undefined;
}

/** @throws KilnError internal where nothing says what the guest's root is made of */
export function planBoot(facts: BootFacts): BootOrder {
  const { record, capabilities, attached } = facts;
  const { config, program } = record;
  const { root, interfaces = [], ...rest } = attached;
  if (root === undefined) throw new KilnError(Code.Internal, "a VM without a root", { reason: "no-root" });
  return {
    mode: program.mode,
    root,
    ...rest,
    ...(interfaces.length > 0 ? { network: { interfaces } } : {}),
    process: processOf(record),
    hostname: hostnameOf(record),
    hosts: config.addHosts.map(parseHostEntry).map(({ name, address }) => ({ address, names: [name] })),
    names: facts.names ?? [],
    clockUnixNs: BigInt(facts.nowMs) * 1_000_000n,
    entropy: facts.entropy,
    endAction: capabilities.poweroffExits ? "poweroff" : "restart",
    stopSignal: program.stopSignal,
    stopTimeoutMs: config.stopTimeoutMs,
    directories: [...program.directories],
    initPatienceMs: facts.initPatienceMs,
    hold: facts.hold,
    sysctls: config.sysctls,
    mounts: attached.mounts ?? [],
    readOnlyRoot: config.readOnlyRoot,
    shmBytes: config.shmBytes,
  };
}

/** The host name a VM without one of its own gets: Docker's, the short id. */
export function hostnameOf(record: Pick<VmRecord, "id" | "config">): string {
  return record.config.hostname || record.id.slice(0, 12);
}

function processOf(record: VmRecord) {
  const { config, program } = record;
  const window = { columns: config.ttyColumns || 80, rows: config.ttyRows || 24 };
  return {
    args: [...program.args],
    env: config.env.includes("HOSTNAME") ? [...program.env] : withHostname(program.env, hostnameOf(record)),
    user: program.user,
    workdir: program.workdir,
    tty: config.tty,
    stdin: config.openStdin,
    rlimits: rlimitsOf(config),
    ...(config.tty ? { window } : {}),
  };
}

/** Of every program that kiln starts in the VM. */
export function rlimitsOf({ ulimits }: Pick<VmConfig, "ulimits">): ProcessLimit[] {
  const limitOf = (value: number) => (value < 0 ? Number.POSITIVE_INFINITY : value);
  return ulimits.map(({ name, soft, hard }) => ({ name, soft: limitOf(soft), hard: limitOf(hard) }));
}

function withHostname(env: readonly string[], hostname: string): string[] {
  return env.some((entry) => entry.startsWith("HOSTNAME=")) ? [...env] : [...env, `HOSTNAME=${hostname}`];
}
