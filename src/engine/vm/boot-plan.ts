// From a VM's record to what the VMM is given and what the agent is told. Pure: nothing is opened or made here.

import type { BootOrder } from "../../agent/index.js";
import { defined } from "../../base/defined.js";
import type { DiskSpec, VmmCapabilities, VmmSpec } from "../../vmm/types.js";
import type { UserNetworkPlan } from "../common/rooms.js";
import type { RunAs } from "../host/ownership.js";
import type { VmRecord } from "./record.js";
import { parseHostEntry } from "./validate.js";

export interface SpecFacts {
  readonly record: VmRecord;
  readonly runDirectory: string;
  readonly stateDirectory: string;
  readonly kernel: string;
  readonly initrd: string;
  readonly base: string;
  readonly cow: string;
  /** Absent where the kernel has everything built in. */
  readonly modules?: string | undefined;
  /** Absent for `--network none`, and where the VMM has no network for the rootless. */
  readonly network?: UserNetworkPlan | undefined;
  readonly runAs?: RunAs | undefined;
  /** For every process that is started for the VM. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
}

/** The disks in the order in which the guest sees them: /dev/vda, /dev/vdb, /dev/vdc. */
export function planDisks(facts: Pick<SpecFacts, "base" | "cow" | "modules">): DiskSpec[] {
  const disks: DiskSpec[] = [
    { id: "base", path: facts.base, readOnly: true },
    { id: "cow", path: facts.cow, readOnly: false },
  ];
  if (facts.modules !== undefined) disks.push({ id: "modules", path: facts.modules, readOnly: true });
  return disks;
}

function deviceOf(facts: SpecFacts, id: string): string {
  const index = planDisks(facts).findIndex((disk) => disk.id === id);
  return `/dev/vd${"abcdefgh"[index]}`;
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
    disks: planDisks(facts),
    cards: facts.network === undefined ? [] : [facts.network.card],
    ...defined({ runAs: facts.runAs, environment: facts.environment }),
  };
}

export interface BootFacts extends SpecFacts {
  readonly capabilities: VmmCapabilities;
  /** Of the disks by their ids, as far as the VMM gives them some: `VmmHandle.disks`. */
  readonly serials: ReadonlyMap<string, string>;
  readonly nowMs: number;
  /** Up to 64 fresh random bytes. */
  readonly entropy: Uint8Array;
  /** How long the guest may wait for an init of its own to be ready, before its answer. */
  readonly initPatienceMs: number;
  /** Files are written before the program starts. */
  readonly hold: boolean;
}

/** 64 KiB chunks: near-native writes, and eleven times faster trims than 4 KiB. */
const CHUNK_SECTORS = 128;

export function planBoot(facts: BootFacts): BootOrder {
  const { record, capabilities } = facts;
  const { config, program } = record;
  // The devices go along: an agent of before finds the disks by them, and any agent where there is no serial.
  const serialOf = (id: string) => facts.serials.get(id) ?? "";
  return {
    mode: program.mode,
    root: {
      baseDevice: deviceOf(facts, "base"),
      cowDevice: deviceOf(facts, "cow"),
      persistent: !config.autoRemove,
      chunkSectors: CHUNK_SECTORS,
      baseSerial: serialOf("base"),
      cowSerial: serialOf("cow"),
    },
    ...(facts.modules === undefined
      ? {}
      : { modules: { device: deviceOf(facts, "modules"), serial: serialOf("modules") } }),
    process: processOf(record),
    hostname: hostnameOf(record),
    hosts: config.addHosts.map(parseHostEntry).map(({ name, address }) => ({ address, names: [name] })),
    ...networkOf(facts.network, capabilities.cardMtu),
    clockUnixNs: BigInt(facts.nowMs) * 1_000_000n,
    entropy: facts.entropy,
    endAction: capabilities.poweroffExits ? "poweroff" : "restart",
    stopSignal: program.stopSignal,
    stopTimeoutMs: config.stopTimeoutMs,
    directories: [...program.directories],
    initPatienceMs: facts.initPatienceMs,
    hold: facts.hold,
  };
}

/** The host name a VM without one of its own gets: Docker's, the short id. */
function hostnameOf(record: VmRecord): string {
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
    ...(config.tty ? { window } : {}),
  };
}

function withHostname(env: readonly string[], hostname: string): string[] {
  return env.some((entry) => entry.startsWith("HOSTNAME=")) ? [...env] : [...env, `HOSTNAME=${hostname}`];
}

/** What every card carries. */
const LEAST_MTU = 1500;

function networkOf(plan: UserNetworkPlan | undefined, cardMtu = LEAST_MTU) {
  if (plan === undefined) return {};
  const { servers, search, options } = plan.dns;
  return {
    network: {
      interfaces: [
        {
          mac: plan.card.mac,
          name: "eth0",
          addresses: [...plan.addresses],
          gateway4: plan.gateway4,
          gateway6: plan.gateway6,
          mtu: Math.min(plan.mtu, cardMtu),
        },
      ],
    },
    dns: { servers: [...servers], search: [...search], options: [...options] },
  };
}
