// A VM as it is shown outside the engine.

import type { DeepReadonly } from "../../base/read-only.js";
import type { VmEntry } from "./entry.js";
import type { Mount } from "./mount-config.js";
import { cardIndex, type NetworkAttachment } from "./network-config.js";
import type { VmRecord } from "./record.js";
import type { VmState } from "./state.js";
import type { VmStatus } from "./status.js";
import type { VmConfig } from "./vm-config.js";

/** A mount of a VM and how it is at this moment. */
export interface MountView {
  /** As it was asked, but with the name of a volume that was made for it. */
  readonly mount: DeepReadonly<Mount>;
  /** "away": a share whose server does not answer. */
  readonly state: "detached" | "attached" | "away";
  /** For people: why it is so. */
  readonly message: string;
}

/** What a network says of the addresses that VMs have there; "" and 0 of a family that it has not, and where it is gone. */
export interface NetworkBounds {
  readonly gateway: string;
  /** Bits of the subnet. */
  readonly prefix: number;
  readonly gateway6: string;
  readonly prefix6: number;
}

/** A named network of a VM. */
export interface NetworkMembership extends NetworkBounds {
  readonly attachment: DeepReadonly<NetworkAttachment>;
}

/** Addresses that others have chosen, of a VM that runs. */
export type GivenAddresses = NetworkBounds & Pick<NetworkAttachment, "ip" | "ip6" | "mac">;

const NO_BOUNDS: NetworkBounds = { gateway: "", prefix: 0, gateway6: "", prefix6: 0 };

/** What is known of networks beyond the VMs' records. */
export interface NetworkFacts {
  readonly boundsOf: (networkId: string) => NetworkBounds | undefined;
  /** @param index of the card */
  readonly givenOf: (vmId: string, index: number) => GivenAddresses | undefined;
}

/** A VM as it is now, also after its removal. Nothing of it can be changed through this: that is what verbs are for. */
export class VmView {
  readonly #entry: VmEntry;
  readonly #networks: NetworkFacts;

  constructor(entry: VmEntry, networks: Partial<NetworkFacts> = {}) {
    this.#entry = entry;
    this.#networks = { boundsOf: () => undefined, givenOf: () => undefined, ...networks };
    Object.freeze(this);
  }

  /** 32 hex digits. */
  get id(): string {
    return this.#entry.id;
  }

  get name(): string {
    return this.#entry.name;
  }

  get state(): VmState {
    return this.#entry.state;
  }

  /** What was asked, with every default filled in. */
  get config(): DeepReadonly<VmConfig> {
    return this.#entry.record.config;
  }

  /** Whether the image's program is all that runs, or an init of its own. */
  get mode(): VmRecord["program"]["mode"] {
    return this.#entry.record.program.mode;
  }

  /** ISO 8601; empty where the record is lost. */
  get createdAt(): string {
    return this.#entry.record.createdAt;
  }

  get mounts(): readonly MountView[] {
    const { live, record } = this.#entry;
    return record.config.mounts.map((mount) => ({
      mount: { ...mount, source: mount.source || mount.volumeId },
      ...(live?.mounts.stateOf(mount.target) ?? { state: "detached", message: "" }),
    }));
  }

  /** In the order of its cards. */
  get networks(): readonly NetworkMembership[] {
    const { boundsOf, givenOf } = this.#networks;
    return this.#entry.record.config.networks.map((attachment, place) => {
      const given = givenOf(this.id, cardIndex(attachment, place));
      if (given === undefined) return { attachment, ...(boundsOf(attachment.networkId) ?? NO_BOUNDS) };
      const { ip, ip6, mac, ...bounds } = given;
      return { attachment: { ...attachment, ip, ip6, mac }, ...bounds };
    });
  }

  get status(): DeepReadonly<VmStatus> {
    return this.#entry.status;
  }
}
