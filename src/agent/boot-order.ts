// What a guest is told at its boot.

import type { MessageInitShape } from "@bufbuild/protobuf";
import { defined } from "../base/defined.js";
import { type BootRequestSchema, EndAction, Mode } from "../gen/kiln/agent/v1/machine_pb.js";
import type { ConfigureNetworkRequestSchema } from "../gen/kiln/agent/v1/net_pb.js";
import { type GuestMount, guestMount } from "./guest-mount.js";
import { type GuestProcess, processSpec } from "./guest-process.js";

/** A card of the guest, by its hardware address. */
export interface GuestInterface {
  readonly mac: string;
  readonly name: string;
  /** CIDR, IPv4 or IPv6. */
  readonly addresses: readonly string[];
  readonly gateway4: string;
  readonly gateway6: string;
  readonly mtu: number;
}

/** A line of /etc/hosts. */
export interface HostLine {
  readonly address: string;
  readonly names: readonly string[];
}

/** Its /etc/resolv.conf. */
export interface GuestDns {
  readonly servers: readonly string[];
  readonly search: readonly string[];
  readonly options: readonly string[];
}

/** What becomes of the cards of a guest that runs. */
export interface CardChange {
  /** Those that come, and those that have changed. */
  readonly interfaces: readonly GuestInterface[];
  /** Absent: as it is. */
  readonly dns?: GuestDns | undefined;
  /** MACs of those that go. */
  readonly gone: readonly string[];
  /** For one that is only just coming. */
  readonly patienceMs: number;
  /** Addresses of the guest's own name, "" where it has none; absent: as it is. */
  readonly moved?: { readonly from: string; readonly to: string } | undefined;
}

/** How a guest becomes a VM. */
export interface BootOrder {
  readonly mode: "app" | "system";
  /** Devices, and the serials by which the disks are found: empty where there are none. */
  readonly root: {
    readonly baseDevice: string;
    readonly cowDevice: string;
    readonly baseSerial: string;
    readonly cowSerial: string;
    /** What is written outlives this boot. */
    readonly persistent: boolean;
    readonly chunkSectors: number;
  };
  /** Absent: the kernel has everything built in. */
  readonly modules?: { readonly device: string; readonly serial: string };
  /** In system mode its args are the init. */
  readonly process: GuestProcess;
  readonly hostname: string;
  readonly hosts: readonly HostLine[];
  /** More of them, which change with other VMs: `setNames`. An agent without the feature `names` leaves them out. */
  readonly names?: readonly HostLine[];
  /** Absent: loopback only. */
  readonly network?: { readonly interfaces: readonly GuestInterface[] };
  readonly dns?: GuestDns;
  readonly clockUnixNs: bigint;
  /** Up to 64 bytes. */
  readonly entropy: Uint8Array;
  /** How the guest ends once all is acknowledged. */
  readonly endAction: "poweroff" | "restart";
  /** How the program is ended when the guest itself asks for its end. */
  readonly stopSignal: number;
  readonly stopTimeoutMs: number;
  /** Made inside the root where they are missing. */
  readonly directories: readonly string[];
  /** System mode: how long the answer waits, at most, until the init can be talked to. */
  readonly initPatienceMs: number;
  /** The program waits for `startProgram`. */
  readonly hold: boolean;
  /** Of the feature `mounts`, as are the two below. In this order, but a target below another one's comes after it. */
  readonly mounts?: readonly GuestMount[];
  /** From the program's start on. /dev/shm and what is mounted can be written to, and /run in system mode. */
  readonly readOnlyRoot?: boolean;
  /** Of /dev/shm; absent: half of the guest's memory. */
  readonly shmBytes?: number;
  /** By name, as sysctl(8) has them. */
  readonly sysctls?: Readonly<Record<string, string>>;
}

/** True of what an agent without the feature `mounts` would boot and leave out. */
export function asksForMounts({ mounts = [], readOnlyRoot = false, shmBytes = 0 }: BootOrder): boolean {
  return mounts.length > 0 || readOnlyRoot || shmBytes > 0;
}

export function bootRequest(order: BootOrder): MessageInitShape<typeof BootRequestSchema> {
  const { mode, endAction, process, hosts, names, network, dns, directories, ...more } = order;
  const { mounts, shmBytes, sysctls, ...rest } = more;
  return {
    ...rest,
    mode: mode === "system" ? Mode.SYSTEM : Mode.APP,
    endAction: endAction === "poweroff" ? EndAction.POWEROFF : EndAction.RESTART,
    process: processSpec(process),
    hosts: hostEntries(hosts),
    names: hostEntries(names ?? []),
    directories: [...directories],
    mounts: (mounts ?? []).map(guestMount),
    shmBytes: BigInt(shmBytes ?? 0),
    sysctls: { ...sysctls },
    ...defined({
      network: network && { interfaces: network.interfaces.map(toInterface) },
      dns: dns && toDns(dns),
    }),
  };
}

export function cardRequest(change: CardChange): MessageInitShape<typeof ConfigureNetworkRequestSchema> {
  const { interfaces, dns, gone, patienceMs, moved } = change;
  return {
    ...{ gone: [...gone], patienceMs },
    ...(interfaces.length > 0 ? { network: { interfaces: interfaces.map(toInterface) } } : {}),
    ...(dns === undefined ? {} : { dns: toDns(dns) }),
    ...(moved === undefined ? {} : { moved }),
  };
}

export const hostEntries = (lines: readonly HostLine[]) =>
  lines.map(({ address, names }) => ({ address, names: [...names] }));

const toDns = ({ servers, search, options }: GuestDns) => ({
  servers: [...servers],
  search: [...search],
  options: [...options],
});

const toInterface = (card: GuestInterface) => ({ ...card, addresses: [...card.addresses] });
