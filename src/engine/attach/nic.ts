// The card of a VM on the user network. What its VMM is given is a MAC address and a way out; addresses and resolvers are
// the guest's affair.

import type { CardSpec } from "../../vmm/types.js";
import type { NetworkRoom, UserNetworkPlan } from "../common/rooms.js";
import type { GuestPart } from "../vm/boot-plan.js";
import type { VmRecord } from "../vm/record.js";
import type { AttachmentAt, AttachmentKind, GuestFacts, Moments, PlanFacts, VmmPart } from "./types.js";

export const userCard: AttachmentKind = ({ record }, { rooms }) =>
  record.config.network === "user" ? [new UserCard(record, rooms.network)] : [];

/** What every card carries. */
const LEAST_MTU = 1500;

class UserCard implements AttachmentAt<"launch"> {
  readonly kind = "nic";
  readonly at = "launch";
  readonly #card: CardSpec;
  readonly #record: VmRecord;
  readonly #network: NetworkRoom;
  /** Undefined for a VM without it: its VMM has none for the rootless. */
  #plan: UserNetworkPlan | undefined;

  constructor(record: VmRecord, network: NetworkRoom) {
    this.#record = record;
    this.#network = network;
    this.#card = network.userCard(record.id);
  }

  get id(): string {
    return this.#card.id;
  }

  plan({ userNetwork }: PlanFacts): VmmPart {
    return userNetwork ? { cards: [this.#card] } : {};
  }

  async acquire({ cards }: Moments["launch"]): Promise<void> {
    if (!cards.some(({ id }) => id === this.id)) return;
    this.#plan = await this.#network.planUser(this.#record.config.dns);
  }

  /** A guest that is still to be told must be told of it. */
  adopt(context: Moments["launch"]): Promise<void> {
    return this.acquire(context);
  }

  guest({ capabilities }: GuestFacts): GuestPart {
    const plan = this.#plan;
    if (plan === undefined) return {};
    const { servers, search, options } = plan.dns;
    return {
      interfaces: [
        {
          mac: this.#card.mac,
          name: this.id,
          addresses: [...plan.addresses],
          gateway4: plan.gateway4,
          gateway6: plan.gateway6,
          mtu: Math.min(plan.mtu, capabilities.cardMtu ?? LEAST_MTU),
        },
      ],
      dns: { servers: [...servers], search: [...search], options: [...options] },
    };
  }

  async release(): Promise<void> {
    // Its other end is the driver's.
  }

  async detach(): Promise<void> {
    // The same.
  }
}
