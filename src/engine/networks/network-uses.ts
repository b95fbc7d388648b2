// Which VMs are on which networks at this moment: a network is up while one is. After a restart of kilnd the networks of VMs
// that run are found again before anybody else is put on one.

import { parseEgress } from "../../base/egress.js";
import { Code, KilnError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import type { BridgeRoom, JoinedCard, NetworkCard } from "../../net/types.js";
import type { VmRecord } from "../vm/record.js";
import type { NetworkEntry } from "./entry.js";
import type { Networks } from "./networks.js";
import { specOf } from "./record.js";

/** A VM's card, and whose network it is on. */
export interface CardPlace {
  readonly networkId: string;
  readonly card: NetworkCard;
}

interface Deps {
  readonly bridges: BridgeRoom | undefined;
  readonly networks: Pick<Networks, "get" | "list">;
  readonly log: Logger;
}

export class NetworkUses {
  readonly #deps: Deps;
  /** By network, then by VM. */
  readonly #cards = new Map<string, Map<string, NetworkCard>>();
  #found: Promise<void> = Promise.resolve();
  /** Of networks that were not found again. */
  readonly #lost = new Map<string, KilnError>();

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
      try {
        await bridges.up(spec);
        const joined = await bridges.join(spec, card);
        this.#of(networkId).set(card.vmId, card);
        return joined;
      } catch (error) {
        await this.#drop(entry, card);
        throw error;
      }
    });
  }

  /** The VM has ended. Idempotent. */
  async leave({ networkId, card }: CardPlace): Promise<void> {
    await this.#found;
    const entry = this.#deps.networks.get(networkId);
    if (entry === undefined) return;
    await entry.locked(() => this.#drop(entry, card));
  }

  /** The same of one that may not be on it. */
  async leaveIfOn(place: CardPlace): Promise<void> {
    await this.#found;
    if (this.#cards.get(place.networkId)?.has(place.card.vmId) === true) await this.leave(place);
  }

  /** For a VM that runs on. @throws KilnError why its network was not found again */
  async found({ networkId }: CardPlace): Promise<void> {
    await this.#found;
    this.#entry(networkId);
    const why = this.#lost.get(networkId);
    if (why !== undefined) throw why;
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
    const { bridges, networks, log } = this.#deps;
    const all = networks.list();
    if (bridges === undefined || all.length === 0) return;
    const { usable, why } = await bridges.look();
    const inUse = all.flatMap(({ id, record }) => {
      const cards = [...(this.#cards.get(id)?.values() ?? [])];
      return cards.length === 0 ? [] : [{ spec: specOf(record), cards }];
    });
    if (!usable) {
      for (const { spec } of inUse) this.#lost.set(spec.id, noNetworks(why));
      return;
    }
    for (const network of inUse) {
      await bridges.adopt(network).catch((error: unknown) => {
        const told = KilnError.from(error, `find network ${network.spec.name} again`);
        this.#lost.set(network.spec.id, told);
        log.error("a network can't be found again", { network: network.spec.name, why: told.message });
      });
    }
    await bridges.sweep({ networks: all.map(({ id }) => id), vms, inUse });
  }

  async #drop(entry: NetworkEntry, card: NetworkCard): Promise<void> {
    const bridges = this.#room();
    const spec = specOf(entry.record);
    const cards = this.#of(entry.id);
    cards.delete(card.vmId);
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

/** What a VM has on its named networks, in the order of its cards. Pure. */
export function cardsOf({ id, config }: Pick<VmRecord, "id" | "config">): CardPlace[] {
  const egress = parseEgress(config.egress);
  return config.networks.map(({ networkId, mac, ip, ip6, aliases }, index) => ({
    networkId,
    card: {
      ...{ vmId: id, vmName: config.name, index, mac, aliases, egress },
      ip4: ip === "" ? undefined : ip,
      ip6: ip6 === "" ? undefined : ip6,
    },
  }));
}

function noNetworks(why: string): KilnError {
  return new KilnError(Code.FailedPrecondition, `this host can have no named networks: ${why}`, {
    reason: "no-bridge-network",
    hint: "`kiln doctor` says what is missing",
  });
}
