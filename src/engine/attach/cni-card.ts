// A VM's cards on CNI networks. What they have is asked of plugins before there is a VMM, which has the taps as descriptors; the
// guest is told the addresses that the plugins gave.

import { macFor } from "../../base/networks.js";
import { UndoStack } from "../../base/undo.js";
import type { CniCard, CniJoined, LeaseSettings } from "../../net/types.js";
import { cniCardsOf } from "../networks/cni-uses.js";
import { leaseSettings } from "../networks/lease-settings.js";
import { cardsOf } from "../networks/network-uses.js";
import type { GuestPart } from "../vm/boot-plan.js";
import type { AttachedVm, AttachmentAt, AttachmentKind, AttachNeeds, GuestFacts, VmmPart } from "./types.js";

export const cniCards: AttachmentKind = (vm, needs) =>
  cniCardsOf(vm.record).length === 0 ? [] : [new CniCards(vm, needs)];

interface Routed {
  v4: boolean;
  v6: boolean;
}
type Interface = NonNullable<GuestPart["interfaces"]>[number];

class CniCards implements AttachmentAt<"prepare"> {
  readonly kind = "networks";
  readonly id: string;
  readonly at = "prepare";
  readonly #vm: AttachedVm;
  readonly #needs: AttachNeeds;
  readonly #cards: readonly CniCard[];

  constructor(vm: AttachedVm, needs: AttachNeeds) {
    this.#vm = vm;
    this.#needs = needs;
    this.#cards = cniCardsOf(vm.record);
    this.id = this.#cards.map(({ network }) => `cni:${network}`).join(",");
  }

  /** Of a VM that runs nobody makes the taps again. */
  plan(): VmmPart {
    const cards = this.#cards.map((card) => {
      const joined = this.#needs.cniUses.joinedOf(card);
      const around = (argv: readonly string[]) => [...argv];
      return {
        id: `net${card.index}`,
        mac: joined?.mac ?? (card.mac || macFor(card.vmId, `cni:${card.network}`)),
        backend: joined?.card ?? { kind: "descriptor" as const, around },
      };
    });
    return { cards };
  }

  async acquire(): Promise<void> {
    await using undo = new UndoStack();
    const routed = this.#routed(true);
    for (const card of this.#cards) {
      const wish = this.#vm.given?.[`cni:${card.network}`] ?? [];
      const joined = await this.#needs.cniUses.join({ ...card, wish, lease: this.#lease(routed) });
      interfaceOf(joined, 0, routed);
      undo.push("leave a CNI network", () => this.#needs.cniUses.leave(card));
    }
    undo.commit();
  }

  async adopt(): Promise<void> {
    const routed = this.#routed(true);
    for (const card of this.#cards) {
      const joined = await this.#needs.cniUses.adopt({ ...card, lease: this.#lease(routed) });
      interfaceOf(joined, 0, routed);
    }
  }

  #lease(routed: Readonly<Routed>): LeaseSettings {
    const settings = leaseSettings(this.#vm.record, { ...routed });
    // The resolvers of kiln's own networks know names that these do not.
    return cardsOf(this.#vm.record).length > 0 ? { ...settings, dns: [], search: [] } : settings;
  }

  /** The families in which its way out is by no CNI network. @param isUser whether the user network is one */
  #routed(isUser: boolean): Routed {
    const own = cardsOf(this.#vm.record);
    const isOut = own.some(({ networkId }) => this.#needs.networks.get(networkId)?.record.internal === false);
    const isRouted = (this.#vm.record.config.network === "user" && isUser) || isOut;
    return { v4: isRouted, v6: isRouted };
  }

  /** The way out is by the user network, by the first network of kiln's own that has one, or by the first of these. */
  guest({ capabilities }: Pick<GuestFacts, "capabilities">): GuestPart {
    const { config } = this.#vm.record;
    const first = config.network === "user" ? 1 : 0;
    const routed = this.#routed(capabilities.userNetwork);
    const held = this.#cards.flatMap((card) => {
      const joined = this.#needs.cniUses.joinedOf(card);
      return joined === undefined ? [] : [{ joined, number: first + card.index }];
    });
    const interfaces = held.map(({ joined, number }) => interfaceOf(joined, number, routed));
    // The resolvers of kiln's own networks know names that these do not.
    if (cardsOf(this.#vm.record).length > 0) return { interfaces };
    return { interfaces, dns: this.#dns(held.map(({ joined }) => joined)) };
  }

  #dns(all: readonly CniJoined[]): NonNullable<GuestPart["dns"]> {
    const { dns, dnsSearch, dnsOptions } = this.#vm.record.config;
    const or = (asked: readonly string[], of: (joined: CniJoined) => readonly string[]) => [
      ...new Set(asked.length > 0 ? asked : all.flatMap(of)),
    ];
    return {
      servers: or(dns, (joined) => joined.dns.servers),
      search: or(dnsSearch, (joined) => joined.dns.search).filter((domain) => domain !== "."),
      options: or(dnsOptions, (joined) => joined.dns.options),
    };
  }

  async denied(): Promise<number> {
    const counts = await Promise.all(this.#cards.map((card) => this.#needs.cniUses.denied(card)));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  async release(): Promise<void> {
    await using undo = new UndoStack();
    for (const card of this.#cards) undo.push("leave a CNI network", () => this.#needs.cniUses.leave(card));
  }

  /** All of it goes on without kilnd. */
  async detach(): Promise<void> {
    return undefined;
  }
}

function interfaceOf(joined: CniJoined, number: number, routed: Routed): Interface {
  const gateway4 = routed.v4 ? "" : joined.gateway4;
  const gateway6 = routed.v6 ? "" : joined.gateway6;
  routed.v4 ||= gateway4 !== "";
  routed.v6 ||= gateway6 !== "";
  const { mac, mtu, addresses } = joined;
  return { mac, name: `eth${number}`, mtu, addresses: [...addresses], gateway4, gateway6 };
}
