// A VM's cards on named networks. Each network is up, and knows the VM's names and addresses, before its VMM is; the VMM has the
// taps as descriptors, and its guest is told its addresses.

import { UndoStack } from "../../base/undo.js";
import type { JoinedCard } from "../../net/types.js";
import type { DescriptorBackend } from "../../vmm/types.js";
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
  PlanFacts,
  VmmPart,
} from "./types.js";

export const bridgeCards: AttachmentKind = (vm, needs) =>
  cardsOf(vm.record).length === 0 ? [] : [new BridgeCards(vm, needs)];

/** Of a VM that runs: nobody makes its taps again. */
const MADE: DescriptorBackend = { kind: "descriptor", around: (argv) => argv };

type Interface = NonNullable<GuestPart["interfaces"]>[number];

class BridgeCards implements AttachmentAt<"prepare"> {
  readonly kind = "networks";
  readonly id: string;
  readonly at = "prepare";
  readonly #vm: AttachedVm;
  readonly #needs: AttachNeeds;
  readonly #places: readonly CardPlace[];
  /** In the order of the cards. */
  #joined: readonly JoinedCard[] = [];

  constructor(vm: AttachedVm, needs: AttachNeeds) {
    this.#vm = vm;
    this.#needs = needs;
    this.id = vm.record.config.networks.map(({ name }) => name).join(",");
    this.#places = leasedCards(vm.record, needs.networks);
  }

  plan({ capabilities }: PlanFacts): VmmPart {
    const isTap = capabilities?.networkCards === "tap";
    const cards = this.#places.map(({ card }, at) => {
      const joined = this.#joined[at];
      return { id: `net${card.index}`, mac: card.mac, backend: (isTap ? joined?.tap : joined) ?? MADE };
    });
    return { cards };
  }

  async acquire(): Promise<void> {
    await using undo = new UndoStack();
    const joined: JoinedCard[] = [];
    for (const place of this.#places) {
      joined.push(await this.#needs.networkUses.join(place));
      undo.push("leave a network", () => this.#needs.networkUses.leave(place));
    }
    this.#joined = joined;
    undo.commit();
  }

  async adopt(): Promise<void> {
    for (const place of this.#places) await this.#needs.networkUses.found(place);
  }

  /** The way out is by the user network, or by the first network that has one. */
  guest({ capabilities }: Pick<GuestFacts, "capabilities">): GuestPart {
    const { config } = this.#vm.record;
    const first = config.network === "user" ? 1 : 0;
    const isUser = first === 1 && capabilities.userNetwork;
    const routed = { v4: isUser, v6: isUser };
    const interfaces = this.#places.map((place) => this.#interface(place, first + place.card.index, routed));
    const servers = config.dns.length > 0 ? config.dns : this.#resolvers();
    const search = config.dnsSearch.filter((domain) => domain !== ".");
    return { interfaces, dns: { servers: [...servers], search, options: [...config.dnsOptions] } };
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
    this.#joined = [];
  }
}
