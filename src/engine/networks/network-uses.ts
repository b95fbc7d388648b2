// Which VMs are on which networks at this moment: a network is up while one is. After a restart of kilnd the networks of VMs
// that run are found again before anybody else is put on one.

import { defined } from "../../base/defined.js";
import { parseEgress } from "../../base/egress.js";
import { Code, KilnError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import { cniName } from "../../base/network-flag.js";
import type { NetworkSpec } from "../../base/networks.js";
import { formatPortMapping, type PortMapping } from "../../base/ports.js";
import type { BridgeRoom, JoinedCard, NetworkCard } from "../../net/types.js";
import { type CardPlace, cardIndex } from "../vm/network-config.js";
import type { VmRecord } from "../vm/record.js";
import type { NetworkEntry } from "./entry.js";
import type { Networks } from "./networks.js";
import { specOf } from "./record.js";

export type { CardPlace };

interface Deps {
  readonly bridges: BridgeRoom | undefined;
  readonly networks: Pick<Networks, "get" | "list">;
  readonly log: Logger;
  /** After which a network that was not found again is looked for once more; default 5 s. */
  readonly retryMs?: number;
}

const RETRY_MS = 5_000;

export class NetworkUses {
  /** Told when a VM has come to a network, or left one. */
  onChange: () => void = () => undefined;
  readonly #deps: Deps;
  /** By network, then by VM. */
  readonly #cards = new Map<string, Map<string, NetworkCard>>();
  #found: Promise<void> = Promise.resolve();
  /** Of networks that were not found again, why. */
  readonly #lost = new Map<string, string>();
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /**
   * Puts a card on its network, which comes up with the first one.
   *
   * @throws KilnError not_found `network-not-found`; failed_precondition `networks-not-ready`, `no-bridge-network`,
   *   `subnet-overlaps`; unavailable `network-failed`
   */
  async join({ networkId, card }: CardPlace): Promise<JoinedCard> {
    await this.#found;
    const bridges = this.#room();
    const entry = this.#entry(networkId);
    return entry.locked(async () => {
      entry.requireRecord("use");
      const spec = specOf(entry.record);
      // Before anybody comes to those who are on it already: without them it would be another network.
      if (this.#lost.has(networkId)) await this.#findAgain(bridges, entry);
      try {
        await bridges.up(spec);
        const joined = await bridges.join(spec, card);
        this.#of(networkId).set(card.vmId, card);
        this.onChange();
        return joined;
      } catch (error) {
        await this.#drop(entry, card);
        throw error;
      }
    });
  }

  /** From its card's coming to the moment at which it begins to go, whatever the VM's state says. */
  isOn(networkId: string, vmId: string): boolean {
    return this.#cards.get(networkId)?.has(vmId) === true;
  }

  /** What its guest is told by DHCP has changed; its ports are as they were. @throws KilnError unavailable `network-failed` */
  async refresh({ networkId, card }: CardPlace): Promise<void> {
    await this.#found;
    const entry = this.#entry(networkId);
    await entry.locked(async () => {
      const cards = this.#of(networkId);
      const known = cards.get(card.vmId);
      if (known === undefined) return;
      const fresh = { ...card, ...defined({ ports: known.ports }) };
      if (!this.#lost.has(networkId)) await this.#room().join(specOf(entry.record), fresh);
      cards.set(card.vmId, fresh);
    });
  }

  /** The VM has ended. Idempotent. */
  async leave({ networkId, card }: CardPlace): Promise<void> {
    await this.#found;
    const entry = this.#deps.networks.get(networkId);
    if (entry === undefined) return;
    await entry.locked(() => this.#drop(entry, card));
  }

  /**
   * Leads a port of the host to the card by rules; where its network was not found again, as soon as it is.
   *
   * @throws KilnError as `found`; unavailable `network-failed`
   */
  async publish(place: CardPlace, port: PortMapping): Promise<void> {
    await this.#lead(place, port, (room, spec) => room.publish(spec, place.card, port), [port]);
  }

  /** Idempotent. */
  async unpublish(place: CardPlace, port: PortMapping): Promise<void> {
    await this.#lead(place, port, (room, spec) => room.unpublish(spec, place.card, port), []);
  }

  async #lead(
    place: CardPlace,
    port: PortMapping,
    how: (room: BridgeRoom, spec: NetworkSpec) => Promise<void>,
    then: readonly PortMapping[],
  ): Promise<void> {
    await this.found(place);
    const { networkId, card } = place;
    const isOther = (one: PortMapping) => formatPortMapping(one) !== formatPortMapping(port);
    const entry = this.#entry(networkId);
    await entry.locked(async () => {
      if (!this.#lost.has(networkId)) await how(this.#room(), specOf(entry.record));
      const cards = this.#of(networkId);
      const known = cards.get(card.vmId);
      if (known === undefined) return;
      cards.set(card.vmId, { ...known, ports: [...(known.ports ?? []).filter(isOther), ...then] });
    });
  }

  /** The same of one that may not be on it. */
  async leaveIfOn(place: CardPlace): Promise<void> {
    await this.#found;
    if (this.#cards.get(place.networkId)?.has(place.card.vmId) === true) await this.leave(place);
  }

  /**
   * For a VM that runs on. A network that was not found again is looked for until it is.
   *
   * @throws KilnError not_found `network-not-found`
   */
  async found({ networkId }: CardPlace): Promise<void> {
    await this.#found;
    this.#entry(networkId);
  }

  /** kilnd goes: nothing is looked for any more. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  /**
   * Finds the networks of VMs that run again, and removes what nobody is on. What fails is logged: VMs run on.
   *
   * @param running cards of VMs that run. @param vms ids of all
   */
  find(running: readonly CardPlace[], vms: readonly string[]): Promise<void> {
    for (const { networkId, card } of running) this.#of(networkId).set(card.vmId, card);
    this.#found = this.#find(vms).catch((error: unknown) => {
      this.#deps.log.warn("networks can't be tidied up", { why: KilnError.from(error).message });
    });
    return this.#found;
  }

  async #find(vms: readonly string[]): Promise<void> {
    const { bridges, networks } = this.#deps;
    const all = networks.list();
    if (bridges === undefined || all.length === 0) return;
    const { usable, why } = await bridges.look();
    const inUse = all.flatMap(({ id, record }) => {
      const cards = [...(this.#cards.get(id)?.values() ?? [])];
      return cards.length === 0 ? [] : [{ spec: specOf(record), cards }];
    });
    for (const network of inUse) {
      const adopted = usable ? bridges.adopt(network) : Promise.reject(noNetworks(why));
      await adopted.catch((error: unknown) => this.#lose(network.spec, error));
    }
    // What nobody is on goes at a start alone: from now on somebody may be coming.
    if (usable) await bridges.sweep({ networks: all.map(({ id }) => id), vms, inUse });
    this.#retryLater();
  }

  /** Told once, and again where it is another reason. */
  #lose({ id, name }: NetworkSpec, error: unknown): void {
    const why = KilnError.from(error, `find network ${name} again`).message;
    if (this.#lost.get(id) === why) return;
    this.#lost.set(id, why);
    this.#deps.log.error("a network can't be found again, and is looked for", { network: name, why });
  }

  #retryLater(): void {
    clearTimeout(this.#timer);
    if (this.#lost.size === 0 || this.#isClosed) return;
    this.#timer = setTimeout(() => void this.#retry(), this.#deps.retryMs ?? RETRY_MS);
  }

  async #retry(): Promise<void> {
    const bridges = this.#room();
    for (const networkId of [...this.#lost.keys()]) {
      const entry = this.#deps.networks.get(networkId);
      if (entry === undefined) this.#lost.delete(networkId);
      else
        await entry
          .locked(() => this.#findAgain(bridges, entry))
          .catch((error: unknown) => this.#lose(specOf(entry.record), error));
    }
    this.#retryLater();
  }

  /** By whoever has the network's lock. Nobody on it: there is nothing to find. */
  async #findAgain(bridges: BridgeRoom, entry: NetworkEntry): Promise<void> {
    const cards = [...(this.#cards.get(entry.id)?.values() ?? [])];
    if (this.#lost.has(entry.id) && cards.length > 0) {
      const { usable, why } = await bridges.look();
      if (!usable) throw noNetworks(why);
      await bridges.adopt({ spec: specOf(entry.record), cards });
      this.#deps.log.info("a network is found again", { network: entry.record.name });
    }
    this.#lost.delete(entry.id);
  }

  async #drop(entry: NetworkEntry, card: NetworkCard): Promise<void> {
    const bridges = this.#room();
    const spec = specOf(entry.record);
    const cards = this.#of(entry.id);
    cards.delete(card.vmId);
    this.onChange();
    try {
      await bridges.leave(spec, card);
    } finally {
      if (cards.size === 0) {
        this.#cards.delete(entry.id);
        await bridges.down(spec);
      }
    }
  }

  #of(networkId: string): Map<string, NetworkCard> {
    const known = this.#cards.get(networkId) ?? new Map<string, NetworkCard>();
    this.#cards.set(networkId, known);
    return known;
  }

  #entry(networkId: string): NetworkEntry {
    const entry = this.#deps.networks.get(networkId);
    if (entry !== undefined) return entry;
    throw new KilnError(Code.NotFound, `there is no network ${networkId.slice(0, 12)} any more`, {
      reason: "network-not-found",
      hint: "take the VM off it with `kiln network disconnect`, or make the VM again",
    });
  }

  #room(): BridgeRoom {
    if (this.#deps.bridges !== undefined) return this.#deps.bridges;
    throw new KilnError(Code.FailedPrecondition, "this kilnd gives VMs no named networks", {
      reason: "networks-not-ready",
      hint: "use --network user",
    });
  }
}

/** What a VM has on networks of kiln's own, in the order of its cards. Pure. */
export function cardsOf({ id, config }: Pick<VmRecord, "id" | "config">): CardPlace[] {
  const egress = parseEgress(config.egress);
  return config.networks.flatMap((attachment, place) => {
    const { name, networkId, mac, ip, ip6, aliases } = attachment;
    if (cniName(name) !== undefined) return [];
    const card = {
      ...{ vmId: id, vmName: config.name, index: cardIndex(attachment, place), mac, aliases, egress },
      ip4: ip === "" ? undefined : ip,
      ip6: ip6 === "" ? undefined : ip6,
    };
    return [{ networkId, card }];
  });
}

function noNetworks(why: string): KilnError {
  return new KilnError(Code.FailedPrecondition, `this host can have no named networks: ${why}`, {
    reason: "no-bridge-network",
    hint: "`kiln doctor` says what is missing",
  });
}
