// A VM's cards on named networks. Each network is up, and knows the VM's names and addresses, before its VMM is; the VMM has the
// taps as descriptors, and its guest is told its addresses.

import { UndoStack } from "../../base/undo.js";
import type { JoinedCard, NetworkCard } from "../../net/types.js";
import type { CardSpec, DescriptorBackend } from "../../vmm/types.js";
import { leasedCards } from "../networks/lease-settings.js";
import { type CardPlace, cardsOf } from "../networks/network-uses.js";
import { specOf } from "../networks/record.js";
import type { GuestPart } from "../vm/boot-plan.js";
import type {
  AttachedVm,
  AttachmentAt,
  AttachmentKind,
  AttachNeeds,
  GuestFacts,
  GuestNetwork,
  PlanFacts,
  VmmPart,
} from "./types.js";

export const bridgeCards: AttachmentKind = (vm, needs) =>
  cardsOf(vm.record).length === 0 ? [] : [new BridgeCards(vm, needs, leasedCards(vm.record, needs.networks))];

/** Of a VM that runs: nobody makes its taps again. */
const MADE: DescriptorBackend = { kind: "descriptor", around: (argv) => argv };

/** Of the VMM's card. */
export const cardId = ({ index }: Pick<NetworkCard, "index">): string => `net${index}`;

type Interface = NonNullable<GuestPart["interfaces"]>[number];

export class BridgeCards implements AttachmentAt<"prepare"> {
  readonly kind = "networks";
  readonly id: string;
  readonly at = "prepare";
  readonly #vm: Pick<AttachedVm, "record">;
  readonly #needs: AttachNeeds;
  /** In the order of the cards. */
  #places: readonly CardPlace[];
  /** By the cards' indexes. */
  readonly #joined = new Map<number, JoinedCard>();

  /** @param places of the VM's start; none for one that was started on no network */
  constructor(vm: Pick<AttachedVm, "record">, needs: AttachNeeds, places: readonly CardPlace[]) {
    this.#vm = vm;
    this.#needs = needs;
    this.id = vm.record.config.networks.map(({ name }) => name).join(",");
    this.#places = places;
  }

  get places(): readonly CardPlace[] {
    return this.#places;
  }

  plan({ capabilities }: PlanFacts): VmmPart {
    const isTap = capabilities?.networkCards === "tap";
    const cards = this.#places.map(({ card }) => {
      const joined = this.#joined.get(card.index);
      return { id: cardId(card), mac: card.mac, backend: (isTap ? joined?.tap : joined) ?? MADE };
    });
    return { cards };
  }

  async acquire(): Promise<void> {
    await using undo = new UndoStack();
    for (const place of this.#places) {
      this.#joined.set(place.card.index, await this.#needs.networkUses.join(place));
      undo.push("leave a network", () => this.#needs.networkUses.leave(place));
    }
    undo.commit();
  }

  /** One more card of a VM that runs, or one of those that it is to have, once more. @returns what its VMM is given */
  async join(place: CardPlace): Promise<CardSpec> {
    const backend = await this.#needs.networkUses.join(place);
    const all = [...this.#without(place), place];
    this.#places = all.sort((one, other) => one.card.index - other.card.index);
    return { id: cardId(place.card), mac: place.card.mac, backend };
  }

  /** Of a VM that runs. What can't be done is done once more when the VM ends. */
  async leave(place: CardPlace): Promise<void> {
    await this.#needs.networkUses.leave(place);
    this.#places = this.#without(place);
  }

  #without({ card }: CardPlace): CardPlace[] {
    return this.#places.filter((one) => one.card.index !== card.index);
  }

  async adopt(): Promise<void> {
    for (const place of this.#places) await this.#needs.networkUses.found(place);
  }

  /** The way out is by the user network, or by the first network that has one. */
  guest({ capabilities }: Pick<GuestFacts, "capabilities">): GuestNetwork {
    const { config } = this.#vm.record;
    const first = config.network === "user" ? 1 : 0;
    const isUser = first === 1 && capabilities.userNetwork;
    const routed = { v4: isUser, v6: isUser };
    const interfaces = this.#places.map((place) => this.#interface(place, first + place.card.index, routed));
    const servers = config.dns.length > 0 ? config.dns : this.#resolvers();
    const search = config.dnsSearch.filter((domain) => domain !== ".");
    return { interfaces, dns: { servers: [...servers], search, options: [...config.dnsOptions] } };
  }

  network(facts: Pick<GuestFacts, "capabilities">): GuestNetwork {
    return this.guest(facts);
  }

  #interface(
    { networkId, card }: CardPlace,
    number: number,
    routed: { v4: boolean; v6: boolean },
  ): Interface {
    const { networks } = this.#needs;
    const bounds = networks.boundsOf(networkId);
    const record = networks.get(networkId)?.record;
    const isOut = record?.internal === false;
    const [is4, is6] = [
      isOut && card.ip4 !== undefined && !routed.v4,
      isOut && card.ip6 !== undefined && !routed.v6,
    ];
    routed.v4 ||= is4;
    routed.v6 ||= is6;
    return {
      ...{ mac: card.mac, name: `eth${number}`, mtu: record?.mtu ?? 0 },
      addresses: [
        ...(card.ip4 === undefined ? [] : [`${card.ip4}/${bounds?.prefix ?? 32}`]),
        ...(card.ip6 === undefined ? [] : [`${card.ip6}/${bounds?.prefix6 ?? 128}`]),
      ],
      gateway4: is4 ? (bounds?.gateway ?? "") : "",
      gateway6: is6 ? (bounds?.gateway6 ?? "") : "",
    };
  }

  /** Those that know the names of outside come first: what they don't know, no other is asked by most programs. */
  #resolvers(): string[] {
    const { networks, rooms } = this.#needs;
    const records = this.#places.flatMap(({ networkId }) => networks.get(networkId)?.record ?? []);
    const ordered = [
      ...records.filter(({ internal }) => !internal),
      ...records.filter(({ internal }) => internal),
    ];
    return ordered.flatMap((record) => [...(rooms.bridges?.resolversOf(specOf(record)) ?? [])]);
  }

  async denied(): Promise<number> {
    const { networks, rooms } = this.#needs;
    const counts = this.#places.map(async ({ networkId, card }) => {
      const record = networks.get(networkId)?.record;
      const counters = record === undefined ? undefined : await rooms.bridges?.counters(specOf(record));
      return counters?.get(card.vmId)?.denied ?? 0;
    });
    return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
  }

  async release(): Promise<void> {
    await using undo = new UndoStack();
    for (const place of this.#places)
      undo.push("leave a network", () => this.#needs.networkUses.leave(place));
  }

  /** All of it goes on without kilnd. */
  async detach(): Promise<void> {
    this.#joined.clear();
  }
}
