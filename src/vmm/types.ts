// The driver interface: what the engine asks of a VMM, and what it may count on. Two drivers implement it (qemu/,
// firecracker/), one contract suite (test/contract/vmm) holds both to it.
//
// Lifecycle: `launch` spawns a detached VMM process and returns once it exists; the guest boots by itself. The
// process outlives kilnd: `launch` returns a JSON-able `VmmRecord` with which a later kilnd calls `reattach`.
// A handle's `exited` resolves exactly once, also for a VMM that died while nobody looked.

import type { Duplex } from "node:stream";
import type { ProcessId } from "../base/processes.js";
import type { Abortable } from "../base/progress.js";
import type { CardKind, CardSpec, HotCards, TapHolder } from "./card-spec.js";

export type {
  CardBackend,
  CardKind,
  CardSpec,
  DescriptorBackend,
  HotCards,
  TapBackend,
  TapHolder,
} from "./card-spec.js";

export type VmmKind = "qemu" | "firecracker";
export type Accelerator = "kvm" | "tcg";

/** What a driver can do; asked instead of versions or names. */
export interface VmmCapabilities {
  readonly accelerator: Accelerator;
  /** How the channel reaches the guest. */
  readonly channel: "virtio-serial" | "vsock";
  /** Rootless network card with outbound access. */
  readonly userNetwork: boolean;
  /** What its cards' other ends are; "tap" where it is not told. */
  readonly cards?: CardKind | undefined;
  /** How it has the taps of cards on named networks, of which it takes up to MAX_CARDS; none where it is not told. */
  readonly networkCards?: "descriptor" | "tap" | undefined;
  /** The largest packet that the user network carries; 1500 where it is not told. */
  readonly cardMtu?: number | undefined;
  /** Memory that the guest frees goes back to the host. */
  readonly freePageReporting: boolean;
  /** poweroff in the guest ends the VMM process. False: the guest must end by restart (Firecracker, x86). */
  readonly poweroffExits: boolean;
  /** The machine tells a guest's reboot from its poweroff. */
  readonly tellsReboot: boolean;
  readonly pause: boolean;
  /** How many ports a VM may have; none where it is not told. */
  readonly maxPorts?: number | undefined;
  readonly maxDisks: number;
  /**
   * How many disks a VM may be given while it runs, where it was launched for that (`VmmSpec.hotplug`); of a VM's own record, how
   * many it may. None where it is not told.
   */
  readonly hotplugDisks?: number | undefined;
  /** The same of cards on named networks: `VmmSpec.hotplugCards`, `VmmHandle.hotCards`. */
  readonly hotplugCards?: number | undefined;
  readonly maxVcpus: number;
}

/** The verdict on one VMM on this host; `why` is for `kiln info`. */
export interface VmmProbe {
  readonly kind: VmmKind;
  readonly usable: boolean;
  readonly why: string;
  readonly path?: string;
  readonly version?: string;
  readonly capabilities?: VmmCapabilities;
  /** Why its jail shows all of the host's programs instead of its own files, where it does. */
  readonly exposed?: string | undefined;
  /** The level of x86-64 (1 to 4) that its guests' processors have. */
  readonly cpuLevel?: number;
}

/** blk: virtio-blk, /dev/vd* in the guest. scsi: virtio-scsi, /dev/sd* there. */
export type DiskBus = "blk" | "scsi";

export interface DiskSpec {
  /** [a-z0-9]{1,20}, once in a VM. */
  readonly id: string;
  /** Raw file, or a block device. */
  readonly path: string;
  readonly device?: boolean | undefined;
  readonly readOnly: boolean;
  /** Default: the driver's choice, which is virtio-blk for as many as it has room for, the first ones of the VM. */
  readonly bus?: DiskBus;
}

/** One more byte stream between the guest and a socket of the host, beside the channel: that of a shared directory, say. */
export interface PortSpec {
  /** [a-z0-9]{1,20}, once in a VM. */
  readonly id: string;
}

/** Both ends of a port of a VM that runs. Streams of it begin and end as either side likes; one lives at a time. */
export interface VmmPort {
  /**
   * connect: the VMM listens at the socket from before its guest's start on; what was in flight when a stream ended may
   * come in the next one. listen: the VMM connects there whenever the guest asks for a stream, and the guest is refused
   * while nobody listens (`listenForGuest`).
   */
  readonly kind: "connect" | "listen";
  /** Path, in a directory that only kilnd writes. */
  readonly socket: string;
  /** A virtio-serial port by its name, or a vsock port of the host's (CID 2), which the guest connects to. */
  readonly guest: { readonly port: string } | { readonly vsock: number };
}

export interface VmmSpec {
  /** 64 hex; also names the VM to the VMM. */
  readonly vmId: string;
  /** Existing private directory for sockets and pid files; short (unix socket paths hold 107 bytes). */
  readonly runDirectory: string;
  /** Existing private directory for logs and configuration that outlive a reboot. */
  readonly stateDirectory: string;
  readonly kernel: string;
  readonly initrd: string;
  /** Extra words for the kernel's command line; the driver adds what its machine needs (reboot=, tsc_early_khz=...). */
  readonly kernelArgs: readonly string[];
  readonly vcpus: number;
  readonly memoryBytes: number;
  /** The guest sees those of a bus in this order: /dev/vda, /dev/vdb, ... */
  readonly disks: readonly DiskSpec[];
  /** The guest sees them in this order: eth0, eth1, ... */
  readonly cards: readonly CardSpec[];
  readonly ports: readonly PortSpec[];
  /** That disks can come and go while it runs: `VmmHandle.attachDisk`. */
  readonly hotplug?: boolean | undefined;
  /** That cards can come while it runs. */
  readonly hotplugCards?: boolean | undefined;
  /**
   * Root daemon only: the VMM runs as this uid and gid; the engine has given it its files. Absent: as the daemon's
   * own user, with no_new_privs.
   */
  readonly runAs?: { readonly uid: number; readonly gid: number };
  /**
   * Variables that every process started for this VM carries, the VMM and its helpers, inside a jail and out: a later
   * kilnd finds by them what no record names.
   */
  readonly environment?: Readonly<Record<string, string>>;
}

/**
 * What is asked of a VM that runs already: it was started by what an earlier kilnd knew, and so it must need nothing that
 * only this one knows.
 */
export type ReattachSpec = Pick<
  VmmSpec,
  "vmId" | "runDirectory" | "stateDirectory" | "memoryBytes" | "disks" | "runAs" | "environment"
> & {
  /** For a record that lost its facts; else the record tells them. VMs of before have none. */
  readonly ports?: readonly PortSpec[] | undefined;
};

/** What a later kilnd needs to find the VM again. Plain JSON; versioned by `driver`. */
export interface VmmRecord {
  readonly driver: VmmKind;
  readonly process: ProcessId;
  readonly capabilities: VmmCapabilities;
  /** Driver's own facts (socket paths, ...). */
  readonly facts: Readonly<Record<string, string>>;
}

export type VmmExitCause =
  | "guest-shutdown" // poweroff in the guest
  | "guest-reset" // reboot in the guest (or, without pvpanic, a panic)
  | "guest-panic"
  | "killed" // by us
  | "crashed" // by itself: signal, error
  | "unknown"; // ended while no kilnd was looking

export interface VmmExit {
  readonly cause: VmmExitCause;
  /** For people: exit code or signal, last words on stderr. */
  readonly detail: string;
}

export interface VmmStats {
  readonly cpuMs: number;
  readonly rssBytes: number;
  /** Absent where the VMM does not count. */
  readonly traffic?: VmmTraffic;
}

/** Since the VM's start, or since kilnd's where it was started later. */
export interface VmmTraffic {
  readonly blockReadBytes: number;
  readonly blockWriteBytes: number;
  readonly netRxBytes: number;
  readonly netTxBytes: number;
}

/** Of a VMM, for what its card's other end is: that of the user network, of which no machine has more than one. */
export interface VmmCards {
  /** Where the VMM listens for the other end; undefined for a VM without such a card. */
  readonly cardSocket: string | undefined;
  /**
   * Of a VM whose card, if it has one, is a tap: resolves once its VMM has that, while its guest may run already; rejects where it
   * ends before. It is to be asked of a VM with a card alone.
   */
  readonly cardTap: (() => Promise<TapHolder>) | undefined;
  /**
   * Calls back when the VMM says that the other end has gone. It may say so without end, and it may lie. Returns the way
   * to stop listening.
   */
  onCardLost(listener: () => void): () => void;
  /** Puts a process under the VM's limits, where it has some. */
  join(pid: number): Promise<void>;
}

/** A VMM for those that stand beside it, and are there before its guest runs. */
export interface VmmSide extends VmmCards {
  readonly record: VmmRecord;
  /** By their ids. */
  readonly ports: ReadonlyMap<string, VmmPort>;
}

export interface LaunchOptions extends Abortable {
  /**
   * Called once the VMM's process exists, beside its own start: no guest with a card of the kind "stream" runs before it has
   * resolved. Where it rejects, so does the launch; where the launch fails, it has settled.
   */
  readonly beside?: ((vmm: VmmSide) => Promise<void>) | undefined;
}

export interface VmmHandle extends VmmSide {
  /** Undefined where this VMM's cards come with its start and go with its end. */
  readonly hotCards?: HotCards | undefined;
  /**
   * By a disk's id the serial under which the guest finds it, on whatever bus and by whatever name. A disk that its VMM
   * can't tell from another one is not in here, nor is any of a VM of which too little is known.
   */
  readonly disks: ReadonlyMap<string, string>;
  /**
   * Gives the running guest a disk, which is in `disks` then. Its file is opened here and handed over: whatever a jailed VMM
   * sees of the host.
   *
   * @throws KilnError failed_precondition `no-hotplug` for a VM that was launched without; already_exists `disk-attached`;
   *   resource_exhausted `too-many-disks`; what opening the file says. The VM is then as it was.
   */
  attachDisk(disk: DiskSpec): Promise<void>;
  /**
   * Takes a disk from the running guest, which must have let go of it: what it still writes fails. Idempotent: one that is
   * not there is gone.
   *
   * @throws KilnError failed_precondition `disk-in-use` where it does not go; `disk-is-fixed` for one that can't
   */
  detachDisk(id: string): Promise<void>;
  /** Tells the guest the size that the disk's file, or device, has now. Any disk of the VM. */
  growDisk(disk: DiskSpec): Promise<void>;
  /** Resolves once when the VMM process has ended. Never rejects. */
  readonly exited: Promise<VmmExit>;
  /**
   * A byte stream to the agent's end of the channel, without any hello. One at a time. Rejects `unavailable` while
   * nobody listens in the guest (vsock); on virtio-serial it connects early and the guest answers when it is up.
   */
  dialChannel(options?: Abortable): Promise<Duplex>;
  pause(): Promise<void>;
  /** Whether the guest stands still because somebody paused it; for a VM of which nothing else tells. */
  isPaused(): Promise<boolean>;
  resume(): Promise<void>;
  /** Ends the VMM process now; resolves when it is gone. Idempotent. */
  kill(): Promise<void>;
  /** The last bytes of the guest's console, at most `limit` (default 4 KiB). */
  consoleTail(limit?: number): Promise<string>;
  /** Path of the bounded console log: this boot's; the boot before it is `<path>.1`. */
  readonly consoleLog: string;
  /**
   * Resolves at the first byte on the guest's console, at once after a reattach; never rejects. Tells a guest that
   * hangs before its kernel speaks (kill and try again) from a slow one (wait).
   */
  readonly firstOutput: Promise<void>;
  /**
   * Calls back when the VMM has stopped the guest by itself because the host's disk is full (the guest sees no error
   * and loses nothing), and with undefined when it runs again. Returns the way to stop listening.
   */
  onStall(listener: (why: string | undefined) => void): () => void;
  stats(): Promise<VmmStats>;
  /** Bytes of memory the guest should give up; 0 gives all back. */
  setBalloon(bytes: number): Promise<void>;
  /** Lets go of sockets and timers; the VMM goes on. For kilnd's own end. */
  detach(): Promise<void>;
}

export interface VmmDriver {
  readonly kind: VmmKind;
  /**
   * On which buses a VM with such disks has them: its guest needs the drivers of each. Nothing is opened.
   *
   * @param hotplug as `VmmSpec.hotplug`
   * @throws KilnError invalid_argument `too-many-disks`
   */
  busesOf(disks: readonly DiskSpec[], hotplug?: boolean): ReadonlySet<DiskBus>;
  /** Cheap enough for every start of kilnd: slow verdicts (a timed KVM boot) are cached under the data root. */
  probe(options?: Abortable): Promise<VmmProbe>;
  launch(spec: VmmSpec, options?: LaunchOptions): Promise<VmmHandle>;
  /** Rejects not_found `vmm-gone` where the process has ended; its exit is then "unknown". */
  reattach(record: VmmRecord, spec: ReattachSpec, options?: Abortable): Promise<VmmHandle>;
}
