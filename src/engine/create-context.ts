// What all of an engine's parts share, made of what it stands on.

import { shortId } from "../base/ids.js";
import { KeyedLock, Semaphore } from "../base/lock.js";
import type { Logger } from "../base/log.js";
import { namingHolders } from "./attach/port-holder.js";
import { EventLog } from "./common/events.js";
import type { Rooms } from "./common/rooms.js";
import type { EngineSettings } from "./common/settings.js";
import { Bases } from "./disks/bases.js";
import type { Host } from "./host/host.js";
import { OwnerMark } from "./host/owner-mark.js";
import type { Ownership } from "./host/ownership.js";
import { KernelAssets } from "./kernels/kernel-assets.js";
import { CniUses } from "./networks/cni-uses.js";
import { NetworkUses } from "./networks/network-uses.js";
import { type NetworkMember, Networks } from "./networks/networks.js";
import { type Noun, type Ref, References } from "./objects/references.js";
import type { EngineContext } from "./run/context.js";
import { VmRegistry } from "./vm/registry.js";
import { VmStore } from "./vm/store.js";
import { Volumes } from "./volumes/volumes.js";
import { WorkloadSets } from "./workload/sets.js";

/** What an engine stands on: its two directories, the rooms below it, and what it knows of its host. */
export interface EngineOptions {
  readonly dataRoot: string;
  readonly runRoot: string;
  readonly rooms: Rooms;
  readonly settings: EngineSettings;
  readonly host: Host;
  readonly ownership: Ownership;
  readonly log: Logger;
  readonly now?: () => number;
}

/** @param going ends of kilnd: see EngineContext */
export function createContext(
  options: EngineOptions,
  going: Pick<EngineContext, "leaving" | "closed">,
): EngineContext & { readonly companions: WorkloadSets } {
  const { settings, dataRoot, ownership, host, log } = options;
  const now = options.now ?? Date.now;
  const vms = new VmRegistry();
  const rooms = { ...options.rooms, network: namingHolders(options.rooms.network, vms) };
  const store = new VmStore(dataRoot, log);
  const references: References = new References((ref) => describeRef(ref, { vms, rooms, volumes, networks }));
  const events = new EventLog(now);
  const volumes = new Volumes({ dataRoot, disks: rooms.disks, host, settings, references, events, log, now });
  const networks = new Networks({
    ...{ dataRoot, references, events, log, now, bridges: rooms.bridges },
    pools: settings.networkPools,
    membersOf: (id) => membersOf(vms, id),
  });
  return {
    dataRoot,
    runRoot: options.runRoot,
    rooms,
    settings,
    host,
    ownership,
    mark: new OwnerMark(),
    log,
    events,
    store,
    vms,
    bases: new Bases({
      dataRoot,
      builder: rooms.buildBase,
      host,
      ownership,
      limits: settings.buildLimits,
      reserveBytes: settings.diskReserveBytes,
      blobPath: (digest) => rooms.images.blobPath(digest),
      log,
      references,
    }),
    kernels: new KernelAssets({
      dataRoot,
      catalogue: rooms.kernels,
      disks: rooms.disks,
      ownership,
      agentPath: rooms.agentPath,
      references,
    }),
    volumes,
    networks,
    networkUses: new NetworkUses({ bridges: rooms.bridges, networks, log }),
    cniUses: new CniUses({ room: rooms.cni, log }),
    references,
    companions: new WorkloadSets({ store, rooms, settings, events, log, now }),
    lock: new KeyedLock(),
    ...going,
    boots: new Semaphore(settings.concurrentBoots),
    now,
  };
}

interface Described {
  readonly vms: VmRegistry;
  readonly rooms: Rooms;
  readonly volumes: Volumes;
  readonly networks: Networks;
}

/** As users know it; undefined for what is gone. A noun that is missing here does not compile. */
const NAMES: { readonly [N in Noun]: (id: string, described: Described) => string | undefined } = {
  vm: (id, { vms }) => vms.get(id)?.name,
  volume: (id, { volumes }) => volumes.get(id)?.name,
  network: (id, { networks }) => networks.get(id)?.name,
  kernel: (id, { rooms }) => rooms.kernels.list().find((one) => one.id === id)?.name,
  image: (id, { rooms }) => rooms.images.find(id)?.names[0],
  base: () => undefined,
  workload: () => undefined,
};

function describeRef({ noun, id }: Ref, described: Described): string {
  return `${noun === "vm" ? "VM" : noun} ${NAMES[noun](id, described) ?? shortId(id)}`;
}

function membersOf(vms: VmRegistry, networkId: string): NetworkMember[] {
  return vms
    .list()
    .flatMap(({ id, name, record }) =>
      record.config.networks
        .filter((one) => one.networkId === networkId)
        .map(({ ip, ip6, mac, aliases }) => ({ vmId: id, vmName: name, ip, ip6, mac, aliases })),
    );
}
