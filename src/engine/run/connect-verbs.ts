// Puts VMs that exist on networks, and takes them off. They stay over restarts: a running VM has the card at once, where its VMM can
// be given one, and its record keeps it for the next start. The record is written before the guest has one and after it has lost it.

import { Code, KilnError } from "../../base/errors.js";
import { failpoint } from "../../base/failpoint.js";
import { cniName } from "../../base/network-flag.js";
import { UndoStack } from "../../base/undo.js";
import type { NetworkEntry } from "../networks/entry.js";
import { leasedCards } from "../networks/lease-settings.js";
import type { CardPlace } from "../networks/network-uses.js";
import type { VmEntry } from "../vm/entry.js";
import { type NetworkAttachment, renumbered, withCard, withoutCard } from "../vm/network-config.js";
import type { LiveView } from "../vm/run-view.js";
import { isLive } from "../vm/state.js";
import { usesOf, vmRef } from "../vm/uses.js";
import { checkAttachment, checkNetworks } from "../vm/validate-networks.js";
import { type EngineContext, vmLogger } from "./context.js";
import { takeNetworks } from "./create-networks.js";
import { requireLive } from "./vm-access.js";

export class ConnectVerbs {
  readonly #ctx: EngineContext;

  constructor(ctx: EngineContext) {
    this.#ctx = ctx;
  }

  /**
   * @throws KilnError failed_precondition `not-supported`, `no-hotplug`, `agent-too-old`, `vm-<state>` where it runs and can't have
   *   it; already_exists `already-connected`; as `takeNetworks` and `RunCards.add`
   */
  connect(network: NetworkEntry, entry: VmEntry, wanted: NetworkAttachment): Promise<void> {
    const { references, lock, networks } = this.#ctx;
    return lock.run(entry.id, async () => {
      const live = changeable(entry, "connect");
      const { config } = entry.record;
      if (config.networks.some(({ networkId }) => networkId === network.id)) throw alreadyOn(network, entry);
      const asked = checkAttachment({ ...wanted, name: network.id });
      checkNetworks({ ...config, networks: [...config.networks, asked] });
      await live?.cards.require("be put on");
      await using leases = new UndoStack();
      const why = `VM ${entry.name} is being put on it`;
      const { id, name } = entry;
      const vm = { id, name, egress: config.egress };
      const [taken] = await takeNetworks(this.#ctx, vm, [asked], { references, leases, why });
      if (taken === undefined) return;
      const before = config.networks;
      await using undo = new UndoStack(() => undefined);
      await this.#keep(entry, live === undefined ? renumbered([...before, taken]) : withCard(before, taken));
      undo.push("take it off the record", () => this.#keep(entry, before));
      failpoint("card.kept");
      await live?.cards.add(placeOn(this.#ctx, network, entry));
      undo.commit();
      await this.#follow(entry, live, before);
      networks.emit("connect", network, { vm: entry.name, vmId: entry.id });
    });
  }

  /**
   * @throws KilnError as `connect`; not_found `not-connected`
   */
  disconnect(network: NetworkEntry, entry: VmEntry): Promise<void> {
    return this.#ctx.lock.run(entry.id, async () => {
      const live = changeable(entry, "disconnect");
      const { networks, publishMode } = entry.record.config;
      const gone = networks.find(({ networkId }) => networkId === network.id);
      if (gone === undefined) throw notOn(network, entry);
      if (live !== undefined && publishMode === "nft") throw isPublished(entry);
      await live?.cards.require("be taken off");
      // The record says it as long as it may be so: whoever asks who is on a network never hears too little.
      await live?.cards.remove(placeOn(this.#ctx, network, entry));
      const rest = withoutCard(networks, gone);
      await this.#keep(entry, live === undefined ? renumbered(rest) : rest);
      await this.#follow(entry, live, networks);
      this.#ctx.networks.emit("disconnect", network, { vm: entry.name, vmId: entry.id });
    });
  }

  /** What else follows from its cards. They are what they are, whether it can be done or not. */
  async #follow(
    entry: VmEntry,
    live: LiveView | undefined,
    before: readonly NetworkAttachment[],
  ): Promise<void> {
    if (live === undefined) return;
    const { networks, networkUses } = this.#ctx;
    const { id, config } = entry.record;
    const old = leasedCards({ id, config: { ...config, networks: [...before] } }, networks);
    const told = new Map(old.map((place) => [place.networkId, JSON.stringify(place)]));
    // Its way out may be another card now: guests that ask by DHCP hear it there.
    const stale = leasedCards(entry.record, networks).filter(
      (place) => (told.get(place.networkId) ?? JSON.stringify(place)) !== JSON.stringify(place),
    );
    const steps = stale.map((place) => networkUses.refresh(place));
    const done = await Promise.allSettled([...steps, entry.note({ ipAddress: live.cards.address })]);
    for (const one of done) {
      if (one.status === "rejected")
        vmLogger(this.#ctx, entry).warn("not all is told of a change of networks", {
          why: KilnError.from(one.reason).message,
        });
    }
  }

  async #keep(entry: VmEntry, networks: NetworkAttachment[]): Promise<void> {
    const { record } = entry;
    const next = { ...record, config: { ...record.config, networks } };
    // Both, while it is not known which of them will be on disk.
    this.#ctx.references.set(vmRef(entry.id), [...usesOf(record), ...usesOf(next)]);
    try {
      await entry.setRecord(next);
    } finally {
      this.#ctx.references.set(vmRef(entry.id), usesOf(entry.record));
    }
    // Guests are told names by what is on record.
    this.#ctx.networkUses.onChange();
  }
}

/** What runs of it, where something does. @throws KilnError failed_precondition `vm-<state>`, `not-supported` */
function changeable(entry: VmEntry, verb: string): LiveView | undefined {
  entry.requireHere();
  entry.requireRecord("change");
  if (!isLive(entry.state)) return undefined;
  const { name } = entry;
  if (entry.record.config.networks.some((one) => cniName(one.name) !== undefined))
    throw new KilnError(
      Code.FailedPrecondition,
      `VM ${name} runs and is on a CNI network: its plugins have said at its start by which card it goes out`,
      {
        reason: "not-supported",
        hint: `stop it first: \`kiln stop ${name}\`, and start it again after that`,
      },
    );
  // A guest that stands still would be waited for with the VM's lock held, which its `unpause` needs.
  return requireLive(entry, verb, ["running"]);
}

/** With what its guest is told there by DHCP. */
function placeOn(ctx: EngineContext, network: NetworkEntry, { record }: VmEntry): CardPlace {
  const place = leasedCards(record, ctx.networks).find(({ networkId }) => networkId === network.id);
  if (place !== undefined) return place;
  throw new KilnError(Code.Internal, `VM ${record.config.name} has no card on ${network.name}`, {
    reason: "no-card",
  });
}

function isPublished({ name }: VmEntry): KilnError {
  return new KilnError(
    Code.FailedPrecondition,
    `VM ${name} runs, and its ports are led to its cards by rules: it can't be taken off a network`,
    { reason: "no-hotplug", hint: `stop it first: \`kiln stop ${name}\`, and start it again after that` },
  );
}

function alreadyOn({ name }: NetworkEntry, vm: VmEntry): KilnError {
  return new KilnError(Code.AlreadyExists, `VM ${vm.name} is on network ${name} already`, {
    reason: "already-connected",
    hint: `for other addresses take it off first: \`kiln network disconnect ${name} ${vm.name}\``,
  });
}

function notOn({ name }: NetworkEntry, vm: VmEntry): KilnError {
  return new KilnError(Code.NotFound, `VM ${vm.name} is not on network ${name}`, {
    reason: "not-connected",
    hint: `see who is with \`kiln network inspect ${name}\``,
  });
}
