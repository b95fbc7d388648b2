// The card of a VM on the user network. Its VMM is given a MAC address and a way out, and knows of no address; what keeps
// the way open is held here, and outlives kilnd.

import { type EgressPolicy, parseEgress } from "../../base/egress.js";
import { KilnError } from "../../base/errors.js";
import type { UserConnection, UserNetwork } from "../../net/types.js";
import type { CardSpec } from "../../vmm/types.js";
import type { NetworkRoom, UserNetworkPlan } from "../common/rooms.js";
import type { GuestPart } from "../vm/boot-plan.js";
import type {
  AttachedVm,
  AttachmentAt,
  AttachmentKind,
  GuestFacts,
  GuestNetwork,
  Moments,
  PlanFacts,
  VmmPart,
} from "./types.js";

export const userCard: AttachmentKind = (vm, { rooms }) =>
  vm.record.config.network === "user" ? [new UserCard(vm, rooms.network)] : [];

const NAME = "eth0";
/** What every card carries. */
const LEAST_MTU = 1500;

class UserCard implements AttachmentAt<"launch"> {
  readonly kind = "nic";
  readonly id = NAME;
  readonly at = "launch";
  readonly #vm: AttachedVm;
  readonly #room: NetworkRoom;
  readonly #egress: EgressPolicy;
  /** What the guest is told; why it can't be; or undefined for a VM without it: its VMM has none for the rootless. */
  #told: { readonly card: CardSpec; readonly plan: UserNetworkPlan } | KilnError | undefined;
  /** What keeps the card connected. */
  #network: UserNetwork | undefined;
  #deafen: () => void = () => undefined;

  constructor(vm: AttachedVm, room: NetworkRoom) {
    this.#vm = vm;
    this.#room = room;
    this.#egress = parseEgress(vm.record.config.egress);
  }

  plan({ capabilities }: PlanFacts): VmmPart {
    const { userNetwork = false, cards = "tap" } = capabilities ?? {};
    return userNetwork ? { cards: [this.#room.userCard(this.#vm.record.id, cards)] } : {};
  }

  async acquire(context: Moments["launch"]): Promise<void> {
    const card = this.#cardOf(context);
    if (card === undefined) return;
    this.#told = { card, plan: await this.#planGuest() };
    const connection = connectionOf(context, this.#egress);
    if (connection !== undefined) await this.#keep(context, () => this.#room.connectUser(connection));
  }

  /**
   * Earlier releases had the network inside the VMM, and it is well without anything outside. A guest that runs was told of
   * its addresses long since; one that is still to be told hears why it can't be.
   */
  async adopt(context: Moments["launch"]): Promise<void> {
    const connection = connectionOf(context, this.#egress);
    if (connection !== undefined) await this.#keep(context, () => this.#room.adoptUser(connection));
    const card = this.#cardOf(context);
    if (card === undefined) return;
    this.#told = await this.#planGuest().then(
      (plan) => ({ card, plan }),
      (error: unknown) => KilnError.from(error),
    );
  }

  #cardOf({ spec }: Moments["launch"]): CardSpec | undefined {
    return spec.cards.find(({ id }) => id === NAME);
  }

  #planGuest(): Promise<UserNetworkPlan> {
    return this.#room.planUser({ dns: this.#vm.record.config.dns, egress: this.#egress });
  }

  async #keep({ vmm }: Moments["launch"], connect: () => Promise<UserNetwork>): Promise<void> {
    let network: UserNetwork | undefined;
    let isLost = false;
    // First: the VMM says but once that what was just found alive has gone.
    const deafen = vmm.onCardLost(() => {
      if (network === undefined) isLost = true;
      else network.lost();
    });
    try {
      network = await connect();
    } catch (error) {
      deafen();
      throw error;
    }
    this.#network = network;
    const stops = [deafen, network.listen(this.#vm.onNetwork)];
    this.#deafen = () => {
      for (const stop of stops) stop();
    };
    if (isLost) network.lost();
  }

  guest(facts: Pick<GuestFacts, "capabilities">): GuestPart {
    if (this.#told instanceof KilnError) throw this.#told;
    return this.network(facts);
  }

  /** A guest that runs is told of others' cards, whatever may be known of this one. */
  network({ capabilities }: Pick<GuestFacts, "capabilities">): GuestNetwork {
    if (this.#told === undefined || this.#told instanceof KilnError) return {};
    const { card, plan } = this.#told;
    const { servers } = plan.dns;
    const { dnsSearch, dnsOptions } = this.#vm.record.config;
    const search = dnsSearch.length > 0 ? dnsSearch.filter((domain) => domain !== ".") : plan.dns.search;
    const options = dnsOptions.length > 0 ? dnsOptions : plan.dns.options;
    return {
      interfaces: [
        {
          mac: card.mac,
          name: NAME,
          addresses: [...plan.addresses],
          gateway4: plan.gateway4,
          gateway6: plan.gateway6,
          mtu: Math.min(plan.mtu, capabilities.cardMtu ?? LEAST_MTU),
        },
      ],
      dns: { servers: [...servers], search: [...search], options: [...options] },
    };
  }

  async denied(): Promise<number> {
    return (await this.#network?.denied()) ?? 0;
  }

  async release(): Promise<void> {
    await this.#letGo()?.end();
  }

  async detach(): Promise<void> {
    this.#letGo()?.detach();
  }

  #letGo(): UserNetwork | undefined {
    const network = this.#network;
    this.#deafen();
    this.#network = undefined;
    return network;
  }
}

/** Undefined where nobody connects to the card: there is none, or its VMM has the network within it. */
function connectionOf({ spec, vmm }: Moments["launch"], egress: EgressPolicy): UserConnection | undefined {
  const { cardSocket: socket } = vmm;
  const { runDirectory, runAs, environment } = spec;
  const owner = { runDirectory, egress, environment, join: (pid: number) => vmm.join(pid) };
  if (socket !== undefined) return { kind: "stream", socket, runAs, ...owner };
  const tap = vmm.cardTap?.bind(vmm);
  const isOurs = spec.cards.some(({ backend }) => backend.kind === "tap" && backend.on === "user");
  if (tap === undefined || !isOurs) return undefined;
  return { kind: "tap", tap, ...owner };
}
