// What the engine asks of the rooms below it, gathered in one object, so that the engine can be tested without
// processes, disks and registries. The daemon wires the real ones.

import type { LogSink, LogSource } from "../../agent/index.js";
import type { AgentSession, DialChannel, OpenSessionOptions } from "../../agent/types.js";
import type { PortMapping } from "../../base/ports.js";
import type { RunAs } from "../../base/privileges.js";
import type { ProcessId } from "../../base/processes.js";
import type { Abortable, OnProgress } from "../../base/progress.js";
import type { MergeOptions, MergeResult } from "../../image/index.js";
import type { ImageStore } from "../../image/types.js";
import type { KernelBuilder } from "../../kernel/index.js";
import type { KernelCatalogue } from "../../kernel/types.js";
import type { BridgeRoom, CniRoom, GuestWishes, UserConnection, UserNetwork } from "../../net/types.js";
import type { Share, ShareSpec } from "../../share/types.js";
import type { Confinement } from "../../vmm/index.js";
import type {
  CardKind,
  CardSpec,
  VmmDriver,
  VmmHandle,
  VmmKind,
  VmmPort,
  VmmProbe,
  VmmRecord,
} from "../../vmm/types.js";
import type { BuildRequest, BuildResult } from "./base-protocol.js";

/** The VMMs of this host and which one to take. */
export interface VmmRoom {
  /**
   * @param name "" or undefined for the best that works
   * @throws KilnError invalid_argument `unknown-vmm`, failed_precondition `no-vmm`, `vmm-unusable`
   */
  choose(name?: string, options?: Abortable): Promise<{ driver: VmmDriver; probe: VmmProbe; why: string }>;
  driver(kind: VmmKind): VmmDriver;
  /** The record of a VMM whose record is lost; undefined where the process is none. */
  recall(process: ProcessId, runDirectory: string): Promise<VmmRecord | undefined>;
  /** Watches a VMM that its driver can't take over; undefined where it has ended. */
  hold(record: VmmRecord, consoleLog: string, why: string): Promise<VmmHandle | undefined>;
  /** How VMMs are confined on this host, for `kiln info`. */
  confinement(): Promise<Confinement>;
  /** All verdicts, for `kiln info`. */
  probes(options?: Abortable): Promise<readonly VmmProbe[]>;
}

export interface AgentRoom {
  openSession(dial: DialChannel, options: OpenSessionOptions): Promise<AgentSession>;
  /**
   * Carries a program's output from the agent to `sink`, acknowledging only what the sink has taken. Resolves
   * after the last byte of a program that has ended; rejects where the session breaks or the agent lies.
   */
  pumpLogs(source: LogSource, from: bigint, sink: LogSink, options: Abortable): Promise<void>;
}

/** The guest's side of a `user` network. */
export interface UserNetworkPlan {
  readonly addresses: readonly string[];
  readonly gateway4: string;
  readonly gateway6: string;
  readonly mtu: number;
  readonly dns: {
    readonly servers: readonly string[];
    readonly search: readonly string[];
    readonly options: readonly string[];
  };
}

/** Reaches one guest, through whatever session its agent has at that moment. */
export interface GuestDialer {
  session(options: Abortable): Promise<AgentSession>;
}

export interface PublishedPort {
  /** With the host port that was really bound. */
  readonly binding: PortMapping;
  close(): Promise<void>;
}

export interface NetworkRoom {
  /** What the VM's VMM is given: always the same for one VM. Pure. */
  userCard(vmId: string, kind: CardKind): CardSpec;
  /** What the guest is told of the user network. */
  planUser(wishes: GuestWishes): Promise<UserNetworkPlan>;
  /**
   * Connects a card.
   *
   * @throws KilnError failed_precondition `no-user-network`, `no-netguard`; unavailable `user-network-failed`
   */
  connectUser(connection: UserConnection): Promise<UserNetwork>;
  /** For a card that an earlier kilnd has connected. Never fails: what can't be had is told as a notice. */
  adoptUser(connection: UserConnection): Promise<UserNetwork>;
  /** @throws KilnError already_exists `port-in-use`, permission_denied `privileged-port` */
  publish(binding: PortMapping, guest: GuestDialer): Promise<PublishedPort>;
}

/** Where the server of one share stands. */
export interface ShareConnection {
  /** Of the VMM, for this share alone. */
  readonly port: VmmPort;
  /** Of the VM: private to kilnd, and gone with the run. */
  readonly runDirectory: string;
  /** The VM's user, where a root daemon gave it one. */
  readonly runAs: RunAs | undefined;
  /** Of every process of the VM. */
  readonly environment: Readonly<Record<string, string>> | undefined;
  /** Puts a process under the VM's limits, where it has some. */
  readonly join: (pid: number) => Promise<void>;
  /** Whether the VMM's process is there. */
  readonly vmLives: () => Promise<boolean>;
}

export interface ShareRoom {
  /**
   * Looks at what is shared, and starts nothing.
   *
   * @returns name of the one file that is shared; undefined for a directory
   * @throws KilnError not_found `share-source-missing`; invalid_argument `bad-share-source`; failed_precondition
   *   `idmap-needs-root`, `share-owned-by-root`, `share-source-linked`
   */
  check(spec: ShareSpec): Promise<{ readonly file: string | undefined }>;
  /** @throws KilnError as `check`; unavailable `share-failed` */
  serve(spec: ShareSpec, connection: ShareConnection): Promise<Share>;
  /** For one that an earlier kilnd has served. Never fails: what can't be had is told as a notice, and tried again. */
  adopt(spec: ShareSpec, connection: ShareConnection): Promise<Share>;
}

/** The base a cow belongs to. */
export interface CowBase {
  readonly baseDigest: string;
  readonly baseSizeBytes: number;
}

/** A disk that a volume begins with. */
export interface EmptyDisk {
  readonly sizeBytes: number;
  /** What UUID and hash seed derive from. */
  readonly identity: string;
  /** Name of the directory. */
  readonly directory: string;
}

export interface DiskRoom {
  /** A sparse copy-on-write file, and the record of its base beside it. */
  createCow(path: string, base: CowBase): Promise<unknown>;
  /** @throws KilnError failed_precondition `base-mismatch`, `cow-missing`, `cow-damaged` */
  checkCow(path: string, base: CowBase): Promise<unknown>;
  /**
   * A sparse ext4 file with one empty directory in its root; no file may be there.
   *
   * @throws KilnError invalid_argument `bad-disk-size`, resource_exhausted `disk-too-small`, `host-disk-full`
   */
  createEmpty(path: string, options: EmptyDisk): Promise<void>;
  /** A read-only ext4 file of a directory's content: kernel modules. Replaces `output` in one step. */
  buildFromDirectory(
    directory: string,
    output: string,
    options: Abortable & { readonly identity: string },
  ): Promise<unknown>;
}

export type BuildOptions = Abortable & { readonly onProgress?: OnProgress | undefined };

/** Makes the ext4 file of one image. */
export type BaseBuilder = (request: BuildRequest, options: BuildOptions) => Promise<BuildResult>;

/** The rooms below the engine, as it calls them: createRooms has the real ones, tests bring fakes. */
export interface Rooms {
  readonly images: ImageStore;
  /** The registry host that a reference names. */
  readonly registryOf: (reference: string) => string;
  readonly kernels: KernelCatalogue;
  readonly kernelBuilder: KernelBuilder;
  readonly vmms: VmmRoom;
  readonly agent: AgentRoom;
  readonly network: NetworkRoom;
  /** Undefined where this kilnd gives VMs no named networks. */
  readonly bridges?: BridgeRoom | undefined;
  /** Undefined where this kilnd gives VMs no CNI networks. */
  readonly cni?: CniRoom | undefined;
  readonly disks: DiskRoom;
  readonly shares: ShareRoom;
  readonly buildBase: BaseBuilder;
  readonly mergeLayers: (options: MergeOptions) => Promise<MergeResult>;
  /** The agent's binary, packed into every initramfs. */
  readonly agentPath: string;
}
