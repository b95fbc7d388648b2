// What a published port is, and what a VM's card is connected to, for those who make one and those who hold it.

import type { FileHandle } from "node:fs/promises";
import type { Duplex } from "node:stream";
import type { EgressPolicy } from "../base/egress.js";
import type { NetworkSpec } from "../base/networks.js";
import type { PortMapping, PortProtocol } from "../base/ports.js";
import type { RunAs } from "../base/privileges.js";
import type { Abortable } from "../base/progress.js";

/**
 * Reaches a port in the guest. TCP: a byte stream that half-closes. UDP: a stream where one chunk is one datagram.
 */
export type GuestDial = (protocol: PortProtocol, vmPort: number, options: Abortable) => Promise<Duplex>;

export interface PublishedPort {
  /** With the host port that was really bound. */
  readonly mapping: PortMapping;
  /** Connections or flows of this moment. */
  readonly active: number;
  /** Ends the listener and all its connections; resolves when they are gone. Idempotent. */
  close(): Promise<void>;
}

export interface PublishLimits {
  /**
   * TCP connections of one port at a time. For further ones those go whose client has said all, and where nothing has
   * moved for a while; where there is none they are reset. Default 512: below what a VM's session has for all its ports.
   */
  readonly maxConnections: number;
  /** UDP flows of one port at a time; the idlest one goes. Default 192. */
  readonly maxFlows: number;
  /** A UDP flow without a datagram for so long is over. Default 90 s. */
  readonly flowIdleMs: number;
  /** For the guest to accept a connection. Default 15 s. */
  readonly dialTimeoutMs: number;
}

/** What a card's other end is: a socket at which its VMM listens, or a tap that its VMM has in a namespace of its own. */
export type CardKind = "stream" | "tap";

/** A VMM that has its tap. */
export interface TapHolder {
  /** In the tap's namespaces: the VMM, or its jail's monitor. */
  readonly pid: number;
  /** A descriptor that hangs up when the VMM has ended. */
  readonly alive: () => Promise<FileHandle>;
}

/** One VM's card, to be connected. */
export type UserConnection = StreamConnection | TapConnection;

export interface StreamConnection extends CardOwner {
  readonly kind: "stream";
  /** Where the VMM listens for the card's other end. */
  readonly socket: string;
  /** The VM's user, where a root daemon gave it one. */
  readonly runAs: RunAs | undefined;
}

export interface TapConnection extends CardOwner {
  readonly kind: "tap";
  /** Resolves once the VMM has its tap; rejects where it ends before. */
  readonly tap: () => Promise<TapHolder>;
}

interface CardOwner {
  /** Of the VM: private to kilnd, and gone with the run. */
  readonly runDirectory: string;
  /** What the VM may reach. */
  readonly egress: EgressPolicy;
  /** Of every process of the VM. */
  readonly environment: Readonly<Record<string, string>> | undefined;
  /** Puts a process under the VM's limits, where it has some. */
  readonly join: (pid: number) => Promise<void>;
}

/** What of a user network a guest's owner may choose. */
export interface GuestWishes {
  /** Resolvers of the user's choice, instead of the forwarder. */
  readonly dns: readonly string[];
  readonly egress: EgressPolicy;
}

/** For people. `down`: it stays down until kilnd starts again. */
export interface NetworkNotice {
  readonly down: boolean;
  readonly message: string;
}

/** What keeps one card connected. */
export interface UserNetwork {
  /** Tells of restarts and of giving up. Returns the way to stop listening. */
  listen(listener: (notice: NetworkNotice) => void): () => void;
  /** The VMM says that the card's other end has gone. It may say so without end, and it may lie. */
  lost(): void;
  /** How often the VM was refused what it wanted to reach, since it began. */
  denied(): Promise<number>;
  /** kilnd goes: it goes on. */
  detach(): void;
  /** The VM has ended. */
  end(): Promise<void>;
}

/** What a guest is told beside its addresses where it asks for them (DHCP). */
export interface LeaseSettings {
  readonly hostname: string;
  /** Undefined: the network's own. */
  readonly dns?: readonly string[] | undefined;
  readonly search?: readonly string[] | undefined;
  /** The families in which its way out is by another card. */
  readonly routed: { readonly v4: boolean; readonly v6: boolean };
}

/** A VM's card on a named network. */
export interface NetworkCard {
  /** 64 hex. */
  readonly vmId: string;
  /** Its name on the network, beside the aliases and the first 12 digits of its id. */
  readonly vmName: string;
  /** Among the VM's cards: below MAX_CARDS (base/networks.ts). */
  readonly index: number;
  readonly mac: string;
  /** In the network's subnets; a card has at least one. */
  readonly ip4?: string | undefined;
  readonly ip6?: string | undefined;
  readonly aliases: readonly string[];
  readonly egress: EgressPolicy;
  /** Undefined: what the network has for all. */
  readonly lease?: LeaseSettings | undefined;
  /** Those that lead to it by rules, for `adopt`: others that are found are removed, and what is missing is made. */
  readonly ports?: readonly PortMapping[] | undefined;
}

/** What a VMM is given of such a card: the words that make its tap and hand it on as a descriptor. */
export interface DescriptorCard {
  readonly kind: "descriptor";
  /** @param fd the number that the tap has for the program of `argv`, which the process becomes */
  around(argv: readonly string[], fd: number): string[];
}

/**
 * The same for a VMM that opens taps by their names: its tap is in a network namespace of the VM's own, on a bridge with a link
 * that leads on. Such a namespace is made by whoever starts the VMM.
 */
export interface TapCard {
  readonly kind: "tap";
  readonly on: "user" | "network";
  /** Of the tap: once in a VM. */
  readonly name: string;
  /** Of the link that leads on, in the same namespace. */
  readonly peer: string;
  /** Of both. */
  readonly mtu: number;
  /** Lines of sh(1) that make that link, by a process in the namespace that has all rights over it. */
  readonly make: readonly string[];
  /** Words that lead to the user namespace of which that namespace is to be; none for one of its own, and for root. */
  readonly within: readonly string[];
}

/** A card that has joined its network, for a VMM of either kind. */
export interface JoinedCard extends DescriptorCard {
  readonly tap: TapCard;
}

/** What a network has of one that runs: for `join` and for what `sweep` has to leave alone. */
export interface NetworkInUse {
  readonly spec: NetworkSpec;
  /** Those whose VM runs. */
  readonly cards: readonly NetworkCard[];
}

export interface BridgeVerdict {
  readonly usable: boolean;
  /** For `kiln info` and refusals: what it uses, or what is missing. */
  readonly why: string;
  /** What else on this host gets in a network's way: rules of others that drop what is forwarded, say. */
  readonly warnings: readonly string[];
}

/** What a card was refused, by packets. */
export interface CardCounters {
  /** Addresses outside that its policy does not open. */
  readonly denied: number;
  /** Frames that said to be somebody else's, or a router's or DHCP server's. */
  readonly forged: number;
}

/** A range of addresses that is taken where networks are. */
export interface TakenRange {
  readonly destination: string;
  /** The interface behind which it is. */
  readonly device: string;
}

/**
 * Named networks of one data root. Whoever calls holds the network's lock, and has what is asked for on record: a kilnd that
 * ends anywhere in here leaves what the next one's `adopt` completes and `sweep` removes.
 */
export interface BridgeRoom {
  look(): Promise<BridgeVerdict>;
  /** Makes what is missing of the network. @throws KilnError failed_precondition `no-bridge-network`; unavailable `network-failed` */
  up(spec: NetworkSpec): Promise<void>;
  /** Rules and names of a card, before its VMM. The network is up. */
  join(spec: NetworkSpec, card: NetworkCard): Promise<JoinedCard>;
  /** Once the VMM has ended. Idempotent. */
  leave(spec: NetworkSpec, card: NetworkCard): Promise<void>;
  /** Whether ports can be published by rules: networks are in the host's own namespace. */
  readonly publishes: boolean;
  /** Leads a port of the host to the card, by rules that outlive kilnd. The network is up. Idempotent. */
  publish(spec: NetworkSpec, card: NetworkCard, port: PortMapping): Promise<void>;
  /** Idempotent. */
  unpublish(spec: NetworkSpec, card: NetworkCard, port: PortMapping): Promise<void>;
  /** After a restart of kilnd: finds the network of these cards, whose VMs run, and mends what is missing. */
  adopt(network: NetworkInUse): Promise<void>;
  /** Nobody is on it any more. Idempotent. */
  down(spec: NetworkSpec): Promise<void>;
  /** Removes what is of these networks or of these VMs (ids of this data root, 64 hex) and not in use. */
  sweep(known: {
    networks: readonly string[];
    vms: readonly string[];
    inUse: readonly NetworkInUse[];
  }): Promise<void>;
  /** By the ids of VMs. */
  counters(spec: NetworkSpec): Promise<ReadonlyMap<string, CardCounters>>;
  /** What a new network may not overlap with. */
  taken(): Promise<readonly TakenRange[]>;
  /** Where guests ask for names; none where the network has no resolver. */
  resolversOf(spec: NetworkSpec): readonly string[];
}

/** A VM's card on a CNI network. */
export interface CniCard {
  /** 64 hex. */
  readonly vmId: string;
  readonly vmName: string;
  /** Among the VM's cards: below MAX_CARDS (base/networks.ts). */
  readonly index: number;
  /** Of the network, without "cni:". */
  readonly network: string;
  /** "" for what the plugins choose. A card that does not get what is asked for is not given. */
  readonly mac: string;
  readonly ip: string;
  readonly ip6: string;
  /** Addresses that it had: it gets them where they can be had, and nobody asks for others. */
  readonly wish?: readonly string[];
  /** Undefined: a guest that asks is not answered. */
  readonly lease?: LeaseSettings | undefined;
  /** Undefined: all. */
  readonly egress?: EgressPolicy | undefined;
}

/** What a card has that its plugins have made. */
export interface CniJoined {
  readonly card: DescriptorCard;
  readonly mac: string;
  readonly mtu: number;
  /** With prefixes. */
  readonly addresses: readonly string[];
  /** "" where the network has no way out of that family. */
  readonly gateway4: string;
  readonly gateway6: string;
  readonly dns: {
    readonly servers: readonly string[];
    readonly search: readonly string[];
    readonly options: readonly string[];
  };
}

/** A file of the host's that says of a CNI network, or that should. */
export interface CniListing {
  /** "" where that can't be read. */
  readonly name: string;
  readonly path: string;
  /** Their types, in order. */
  readonly plugins: readonly string[];
  /** Why no VM can be put on it; "" where one can. */
  readonly flaw: string;
}

/** Whether a guest on a CNI network is kept from being another and to its policy, and by what, or why not. */
export interface CniKeeping {
  readonly isKept: boolean;
  readonly why: string;
}

/** Which card it is. */
export type CniKey = Pick<CniCard, "vmId" | "index">;

/**
 * Networks that others have described on this host, and whose plugins make them (https://www.cni.dev). What is made for a card
 * is on record before: a kilnd that ends anywhere in here leaves what the next one's `sweep` removes.
 */
export interface CniRoom {
  /** In the order of directories and names. */
  list(): Promise<readonly CniListing[]>;
  keeping(): Promise<CniKeeping>;
  /**
   * That a VM with this policy could be put on it.
   *
   * @throws KilnError not_found `cni-network-not-found`; failed_precondition
   *   `bad-cni-config`, `cni-plugin-missing`, `no-cni`, `egress-not-ready`; permission_denied `unsafe-path`
   */
  require(network: string, egress: EgressPolicy): Promise<void>;
  /**
   * Before the card's VMM.
   *
   * @throws KilnError as `require`; `cni-failed` with a plugin's own words; deadline_exceeded `cni-timeout`;
   *   failed_precondition `cni-address-not-given`; unavailable `network-failed`
   */
  join(card: CniCard): Promise<CniJoined>;
  /** Once the VMM has ended. Idempotent. @throws KilnError as `join`: it stays on record, and is tried again */
  leave(card: CniKey): Promise<void>;
  /** For a VM that runs. @throws KilnError failed_precondition `cni-lost` where its namespace has gone */
  adopt(card: CniCard): Promise<CniJoined>;
  /** Of a card whose VM runs. @throws KilnError unavailable `network-failed` */
  counters(card: CniKey): Promise<CardCounters>;
  /** What is on record of a card, without a look at the host; undefined where nothing is. Its taps are not to be made. */
  recall(card: CniKey): Promise<CniJoined | undefined>;
  /** Removes what is on record and not in use, and collects. @throws KilnError the first failure: all else was done */
  sweep(inUse: readonly CniKey[]): Promise<void>;
  /** Has plugins forget what no record knows, of networks that are kiln's alone. @throws KilnError as `sweep` */
  collect(): Promise<void>;
}
