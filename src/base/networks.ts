// Named networks: what one is, and the names that everything of it has on the host. They are derived from ids that are on
// record before anything is made, so whoever finds a link, a table or a rule knows whose it is (docs/design/0030-networks.md).

import { createHash } from "node:crypto";
import { formatCidr } from "./cidr.js";

/** What a network is: changes by no verb. */
export interface NetworkSpec {
  /** 64 hex. */
  readonly id: string;
  readonly name: string;
  readonly driver: "bridge";
  /** "10.89.1.0/24": with its network address. */
  readonly subnet4?: string | undefined;
  /** An address in `subnet4`: the bridge's own, the guests' router and resolver. */
  readonly gateway4?: string | undefined;
  /** "fd12:3456:789a::/64": of a /64, so that guests can make their own link's addresses. */
  readonly subnet6?: string | undefined;
  readonly gateway6?: string | undefined;
  /** No way out, and no names of outside. */
  readonly internal: boolean;
  /** Its VMs reach the way out and not each other. */
  readonly isolated: boolean;
  /** Of the bridge and every card on it: 1280 to 65520. */
  readonly mtu: number;
  /** No resolver: guests are given none by this network. */
  readonly dnsDisabled: boolean;
  readonly options: Readonly<Record<string, string>>;
}

/** A VM's cards on named networks: their taps are told apart by one digit. */
export const MAX_CARDS = 8;

/** Of a bridge, in the place where the network is. IFNAMSIZ leaves 15 characters. */
export function bridgeName(networkId: string): string {
  return `kn${networkId.slice(0, 10)}`;
}

/** @param index of the card among its VM's, below MAX_CARDS */
export function tapName(vmId: string, index: number): string {
  return `kt${vmId.slice(0, 10)}${index}`;
}

/** Of the network's tables in nft, one in each family. */
export function tableName(networkId: string): string {
  return `kiln_${networkId.slice(0, 12)}`;
}

/** Of a card's chains, counters and elements within its network's tables. */
export function cardName(vmId: string, index: number): string {
  return `vm_${vmId.slice(0, 12)}_${index}`;
}

/** The MAC address that a VM's card on a network has where nobody asks for another: the same after every start. */
export function macFor(vmId: string, networkId: string): string {
  const digest = createHash("sha256").update(`${vmId} ${networkId}`).digest();
  return ["02", ...Array.from(digest.subarray(0, 5), (byte) => byte.toString(16).padStart(2, "0"))].join(":");
}

/** The unique local prefix (RFC 4193) of a network that is not given another. */
export function ulaFor(networkId: string): string {
  const first = BigInt(`0xfd${networkId.slice(0, 10)}`) << 80n;
  return formatCidr({ family: 6, first, prefix: 64 });
}
