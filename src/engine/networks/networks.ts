// Networks: made, found and removed here, and the addresses of VMs on them handed out. Who has one says the table of
// references, with which addresses the VMs' records: those stay a VM's until it leaves the network, so none can be lost.

import { type Cidr, parseCidr } from "../../base/cidr.js";
import { newId } from "../../base/ids.js";
import { KeyedLock } from "../../base/lock.js";
import type { Logger } from "../../base/log.js";
import { UndoStack } from "../../base/undo.js";
import type { BridgeRoom } from "../../net/types.js";
import type { EventLog } from "../common/events.js";
import { type Keeping, leaseFound } from "../objects/lease-found.js";
import type { References } from "../objects/references.js";
import type { NetworkBounds } from "../vm/view.js";
import { type Occupied, planAddresses } from "./address-plan.js";
import { type CardAddresses, chooseAddresses, type TakenAddresses } from "./choose-addresses.js";
import { NetworkEntry, NetworkRegistry, type NoStatus, networkKind, networkRef } from "./entry.js";
import { type NetworkRecord, specOf } from "./record.js";
import { checkOrder, type NetworkOrder } from "./spec.js";
import { loadNetworks, type NetworkObjects, networkObjects } from "./store.js";

/** A VM that has a network among its own, as its record says. */
export interface NetworkMember extends CardAddresses {
  readonly vmId: string;
  readonly vmName: string;
  readonly aliases: readonly string[];
}

export interface NetworksOptions {
  readonly dataRoot: string;
  /** Undefined where kilnd has no networks of its own to give: they are kept and nothing more. */
  readonly bridges: Pick<BridgeRoom, "taken" | "down"> | undefined;
  /** From which networks that name no subnet are given one. */
  readonly pools: readonly Cidr[];
  /** Those on it, running or not. */
  readonly membersOf: (networkId: string) => readonly NetworkMember[];
  readonly references: References;
  readonly events: Pick<EventLog, "emit">;
  readonly log: Logger;
  readonly now: () => number;
}

const NO_STATUS: NoStatus = {};

export class Networks {
  readonly #options: NetworksOptions;
  readonly #objects: NetworkObjects;
  readonly #registry = new NetworkRegistry();
  readonly #lock = new KeyedLock();
  /** Of networks that no VM's record names yet, by network. */
  readonly #reserved = new Map<string, Set<TakenAddresses>>();

  constructor(options: NetworksOptions) {
    this.#options = options;
    this.#objects = networkObjects(options.dataRoot, options.log);
  }

  /** Reads what is there; removes what a kill left half made. */
  async open(): Promise<void> {
    for (const { id, record, recordFlaw } of await loadNetworks(this.#objects)) {
      this.#registry.add(this.#entry(id, record, recordFlaw));
    }
  }

  list(): NetworkEntry[] {
    return this.#registry.list();
  }

  get(id: string): NetworkEntry | undefined {
    return this.#registry.get(id);
  }

  /** @throws KilnError not_found `network-not-found`, invalid_argument `ambiguous-id` */
  find(key: string): NetworkEntry {
    return this.#registry.find(key);
  }

  /** Those on it, running or not. */
  membersOf(id: string): readonly NetworkMember[] {
    return this.#options.membersOf(id);
  }

  /** What it says of addresses on it. */
  boundsOf(id: string): NetworkBounds | undefined {
    const record = this.get(id)?.record;
    if (record === undefined) return undefined;
    const { gateway4: gateway, gateway6, subnet4, subnet6 } = record;
    const prefixOf = (subnet: string) => parseCidr(subnet)?.prefix ?? 0;
    return { gateway, gateway6, prefix: prefixOf(subnet4), prefix6: prefixOf(subnet6) };
  }

  /**
   * @throws KilnError as `checkOrder` and `planAddresses`; already_exists `name-in-use`
   */
  async create(order: NetworkOrder): Promise<NetworkEntry> {
    const traits = checkOrder(order);
    // One after the other: each subnet is chosen with all others known.
    return this.#lock.run("create", async () => {
      const id = newId();
      await using undo = new UndoStack();
      const { name, release } = this.#registry.takeName(order.name, id);
      undo.push("give the name back", release);
      const addresses = planAddresses(order, {
        id,
        pools: this.#options.pools,
        occupied: await this.#occupied(),
      });
      const { internal, dnsDisabled, options, labels } = order;
      const record: NetworkRecord = {
        ...{ version: 1, id, name, createdAt: new Date(this.#options.now()).toISOString(), driver: "bridge" },
        ...{ ...addresses, ...traits, internal, dnsDisabled },
        ...{ options: { ...options }, labels: { ...labels } },
      };
      await this.#objects.create(id, { record }, async () => undefined);
      const entry = this.#entry(id, record);
      this.#registry.add(entry);
      undo.commit();
      this.emit("create", entry);
      return entry;
    });
  }

  /** The network of that name or id, kept from removal until the leases are let go of. */
  take(key: string, keeping: Keeping): Promise<NetworkEntry> {
    return leaseFound(keeping, {
      find: async () => this.find(key),
      refOf: ({ id }) => networkRef(id),
      isHere: ({ removing }) => !removing,
    });
  }

  /**
   * Addresses for a VM, which nobody else gets until the release. By then they are on the VM's record, or not wanted.
   *
   * @throws KilnError as `chooseAddresses`; failed_precondition `record-damaged`
   */
  reserve(
    entry: NetworkEntry,
    vm: { readonly id: string; readonly name: string },
    wanted: CardAddresses,
  ): { readonly addresses: CardAddresses; readonly release: () => void } {
    entry.requireRecord("use");
    const reserved = this.#reserved.get(entry.id) ?? new Set<TakenAddresses>();
    const members = this.membersOf(entry.id).filter(({ vmId }) => vmId !== vm.id);
    const taken = [...members.map((one) => ({ ...one, by: `VM ${one.vmName}` })), ...reserved];
    const addresses = chooseAddresses(entry.record, vm.id, wanted, taken);
    const mine = { ...addresses, by: `VM ${vm.name}` };
    reserved.add(mine);
    this.#reserved.set(entry.id, reserved);
    const release = () => {
      reserved.delete(mine);
      if (reserved.size === 0 && this.#reserved.get(entry.id) === reserved) this.#reserved.delete(entry.id);
    };
    return { addresses, release };
  }

  /**
   * For good.
   *
   * @throws KilnError failed_precondition `network-in-use` with the names of those who have it, `being-removed`
   */
  async remove(entry: NetworkEntry): Promise<void> {
    const claim = this.#options.references.claim(networkRef(entry.id), {
      hint: "remove those VMs, or take them off with `kiln network disconnect`",
    });
    try {
      await this.removeClaimed(entry.id);
    } finally {
      claim.release();
    }
  }

  /** For who has claimed it. */
  async removeClaimed(id: string): Promise<void> {
    const entry = this.#registry.get(id);
    if (entry === undefined) return;
    await entry.locked(async () => {
      if (entry.removing) return;
      // Before its record goes, which says whose bridge and rules these are.
      await this.#options.bridges?.down(specOf(entry.record));
      const take = (gone: () => void) =>
        this.#objects.remove(id, () => {
          gone();
          this.#registry.remove(entry);
        });
      await entry.leave(take, () => this.emit("destroy", entry));
    });
  }

  /** Names in networks/ that belong to none: for `system df`. */
  strays(): Promise<string[]> {
    return this.#objects.strays(new Set(this.list().map(({ id }) => id)));
  }

  /** For `system prune`. @returns the bytes that came back */
  clearLeftovers(): Promise<number> {
    return this.#objects.clearLeftovers();
  }

  emit(action: string, { id, record }: NetworkEntry, attributes: Record<string, string> = {}): void {
    const { labels, name, driver } = record;
    this.#options.events.emit({
      ...{ type: "network", action, id },
      attributes: { ...labels, name, type: driver, ...attributes },
    });
  }

  async #occupied(): Promise<Occupied[]> {
    const others = this.list().flatMap(({ name, record }) =>
      [record.subnet4, record.subnet6].map((text) => ({ range: parseCidr(text), by: `network ${name}` })),
    );
    const routes = (await this.#options.bridges?.taken()) ?? [];
    const ofHost = routes.map(({ destination, device }) => ({
      range: parseCidr(destination),
      by: `${device} of this host`,
    }));
    // A way to everywhere is in nobody's way.
    return [...others, ...ofHost].flatMap(({ range, by }) =>
      range === undefined || range.prefix === 0 ? [] : [{ range, by }],
    );
  }

  #entry(id: string, record: NetworkRecord, recordFlaw?: string): NetworkEntry {
    const files = {
      saveRecord: (each: string, next: NetworkRecord) => this.#objects.saveRecord(each, next),
      saveStatus: async () => undefined,
    };
    return new NetworkEntry(networkKind({ files, lock: this.#lock }), {
      id,
      record,
      status: NO_STATUS,
      recordFlaw,
    });
  }
}
