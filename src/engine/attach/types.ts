// What a VM has that is more than its machine: disks, network cards, published ports. Each kind is one file with a class that
// implements Attachment, and one line in kinds.ts. What there is of a VM is derived of its record and its status whenever
// it is needed: no list of attachments is stored (docs/design/0019-attachments.md).

import type { Abortable } from "../../base/progress.js";
import type { NetworkNotice } from "../../net/types.js";
import type { GuestPlace, ShareNotice } from "../../share/types.js";
import type { CardSpec, DiskSpec, PortSpec, VmmCapabilities, VmmSide, VmmSpec } from "../../vmm/types.js";
import type { EventLog } from "../common/events.js";
import type { GuestDialer, Rooms } from "../common/rooms.js";
import type { Bases } from "../disks/bases.js";
import type { BootDisks, DiskSet } from "../disks/disk-set.js";
import type { Ownership } from "../host/ownership.js";
import type { CniUses } from "../networks/cni-uses.js";
import type { NetworkUses } from "../networks/network-uses.js";
import type { Networks } from "../networks/networks.js";
import type { GuestPart } from "../vm/boot-plan.js";
import type { VmRecord } from "../vm/record.js";
import type { VmStore } from "../vm/store.js";
import type { PortBinding } from "../vm/vm-config.js";
import type { Volumes } from "../volumes/volumes.js";

/** What an attachment is acquired with, by the moment at which it is. */
export interface Moments {
  /** Before anything is made. What the host lacks is refused here. */
  readonly prepare: Abortable;
  /** With the VMM, before its guest's first instruction. */
  readonly launch: {
    /** What the VMM is launched with, or found again with. */
    readonly spec: Pick<VmmSpec, "cards" | "runDirectory" | "runAs" | "environment">;
    readonly vmm: VmmSide;
  };
  /** With a guest that boots, or has long since. */
  readonly hello: { readonly guest: GuestDialer };
}

export type Moment = keyof Moments;

/** What a plan may know of the host and of the VMM that was chosen, or that runs. */
export interface PlanFacts {
  /** Of the VMM; undefined where they are not told. */
  readonly capabilities: Pick<VmmCapabilities, "userNetwork" | "cards" | "networkCards"> | undefined;
  /** The disk of the kernel's modules, where it has one. */
  readonly modules: string | undefined;
}

/** What the VMM is given. */
export interface VmmPart {
  /** Of one attachment of a VM. */
  readonly boot?: BootDisks;
  readonly disks?: readonly DiskSpec[];
  readonly cards?: readonly CardSpec[];
  /** Byte streams of their own between the guest and the host. */
  readonly ports?: readonly PortSpec[];
}

/** What is known of a VMM that runs, for what its guest is told. */
export interface GuestFacts {
  readonly capabilities: VmmCapabilities;
  readonly disks: DiskSet;
  /** Of the disks by their ids, as far as the VMM gives them some: `VmmHandle.disks`. */
  readonly serials: ReadonlyMap<string, string>;
}

/**
 * One thing that is attached to one VM, for one run of it. It is acquired, or adopted where an earlier kilnd has acquired
 * it, and then let go of exactly once: `release` or `detach`. One that failed to be acquired has left nothing.
 */
export interface AttachmentAt<M extends Moment> {
  readonly kind: string;
  /** Once among those of its kind in a VM; for people. */
  readonly id: string;
  readonly at: M;
  /** Pure, and legal at any time: what is planned and what a later kilnd plans of the same VM is the same. */
  plan(facts: PlanFacts): VmmPart;
  acquire(context: Moments[M]): Promise<void>;
  /**
   * For a VM that runs. It must need as little as can be: what it refuses is lost for the VM, which runs on. A VM of an
   * earlier release may lack what this kilnd would have acquired, and that is no failure.
   */
  adopt(context: Moments[M]): Promise<void>;
  /** What the agent is told at boot, once it is acquired or adopted. */
  guest(facts: GuestFacts): GuestPart;
  /** Of that what belongs to cards; they change while the VM runs. */
  network?(facts: Pick<GuestFacts, "capabilities">): GuestNetwork;
  /** The VM has ended, or never began. */
  release(): Promise<void>;
  /** kilnd goes and the VM runs on: lets go of what is in this process alone, for the next kilnd to adopt the rest. */
  detach(): Promise<void>;
  /** What the guest was refused of the world outside since it began: connections and datagrams, or packets. */
  denied?(): Promise<number>;
  /** Of what is mounted in the guest, while it is held. */
  readonly mount?: HeldMount;
}

/** A guest's cards, and where it asks for names. */
export type GuestNetwork = Pick<GuestPart, "interfaces" | "dns">;

export interface HeldMount {
  readonly target: string;
  /** As the guest knows it. */
  readonly id: string;
  /** "away": its server does not answer, or the guest could not be given it. */
  readonly state: "attached" | "away";
  /** For people. */
  readonly message: string;
  /** The guest has filled it as it was asked to. */
  filled?(): Promise<void>;
  /** How large its disk is, bytes, where its file system is smaller and may be written to. */
  growsTo?(): number | undefined;
  /** The guest's kernel has made it so large. */
  grown?(bytes: number): Promise<void>;
}

export type Attachment = { readonly [M in Moment]: AttachmentAt<M> }[Moment];

/** A VM, as far as what is attached to it is derived from it. */
export interface AttachedVm {
  readonly record: VmRecord;
  /** Addresses that it had before, by the names of networks whose plugins have chosen them. */
  readonly given?: Readonly<Record<string, readonly string[]>>;
  /** Those of the record for a boot, those of the status for a VM that runs. */
  readonly ports: readonly PortBinding[];
  /** Told of what its network does, while it is held. */
  readonly onNetwork: (notice: NetworkNotice) => void;
  /** Told of what becomes of its shared directories. @param target of the mount */
  readonly onShare: (target: string, notice: ShareNotice) => void;
  /** Directories of the host that guests may write to: this VM's, and those of all others. */
  readonly guestPlaces: () => readonly GuestPlace[];
}

/** Of the engine and the rooms below it. */
export interface AttachNeeds {
  readonly bases: Bases;
  readonly store: Pick<VmStore, "cowPath">;
  readonly rooms: Pick<Rooms, "images" | "disks" | "network" | "shares" | "bridges">;
  readonly networks: Pick<Networks, "get" | "boundsOf">;
  readonly cniUses: Pick<CniUses, "join" | "leave" | "adopt" | "joinedOf" | "denied">;
  readonly networkUses: Pick<NetworkUses, "join" | "leave" | "found" | "publish" | "unpublish">;
  readonly volumes: Pick<
    Volumes,
    "path" | "get" | "use" | "adopt" | "noteRepair" | "markFilled" | "noteFilesystem"
  >;
  readonly ownership: Pick<Ownership, "lend">;
  readonly events: Pick<EventLog, "emit">;
}

/** What a VM has of one kind, in the order in which it is acquired. Pure. */
export type AttachmentKind = (vm: AttachedVm, needs: AttachNeeds) => readonly Attachment[];
