// What the engine's parts share. Made once by Engine; nobody keeps module-level state.

import type { KeyedLock, Semaphore } from "../../base/lock.js";
import type { Logger } from "../../base/log.js";
import type { EventLog } from "../common/events.js";
import type { Rooms } from "../common/rooms.js";
import type { EngineSettings } from "../common/settings.js";
import type { Bases } from "../disks/bases.js";
import type { Host } from "../host/host.js";
import type { OwnerMark } from "../host/owner-mark.js";
import type { Ownership } from "../host/ownership.js";
import type { KernelAssets } from "../kernels/kernel-assets.js";
import type { CniUses } from "../networks/cni-uses.js";
import type { NetworkUses } from "../networks/network-uses.js";
import type { Networks } from "../networks/networks.js";
import type { References } from "../objects/references.js";
import type { VmEntry } from "../vm/entry.js";
import type { VmRegistry } from "../vm/registry.js";
import type { VmStore } from "../vm/store.js";
import type { Volumes } from "../volumes/volumes.js";
import type { Companions } from "./companion.js";

export interface EngineContext {
  readonly dataRoot: string;
  readonly runRoot: string;
  readonly rooms: Rooms;
  readonly settings: EngineSettings;
  readonly host: Host;
  readonly ownership: Ownership;
  /** Of all processes that are started for VMs. */
  readonly mark: OwnerMark;
  readonly log: Logger;
  readonly events: EventLog;
  readonly store: VmStore;
  readonly vms: VmRegistry;
  readonly bases: Bases;
  readonly kernels: KernelAssets;
  readonly volumes: Volumes;
  readonly networks: Networks;
  /** Which VMs are on them. */
  readonly networkUses: NetworkUses;
  /** The same of CNI networks. */
  readonly cniUses: CniUses;
  /** Who uses what: asked before anything is removed. */
  readonly references: References;
  readonly companions: Companions;
  /** One verb at a time for each VM. */
  readonly lock: KeyedLock;
  /** Aborted when kilnd goes: a client that is cut off from then on has not left. */
  readonly leaving: AbortSignal;
  /** Aborted when kilnd lets go of its VMs: from then on nothing is started, and no end is written. */
  readonly closed: AbortSignal;
  /** Boots under way. */
  readonly boots: Semaphore;
  readonly now: () => number;
}

/** A log that names the VM on every line. */
export function vmLogger(ctx: EngineContext, entry: VmEntry): Logger {
  return ctx.log.with({ vm: entry.shortId, name: entry.name });
}

export function isoNow(ctx: EngineContext): string {
  return new Date(ctx.now()).toISOString();
}
