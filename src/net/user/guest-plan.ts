// The `user` network as the guest sees it: the same little net 10.0.2.0/24 in every VM (each behind its own NAT), so
// nothing has to be handed out and two VMs never clash. No IPv6: a second way in to guard
// (docs/design/0007-user-network.md).

import { createHash } from "node:crypto";
import { isIPv4 } from "node:net";
import { parseAddress } from "../../base/cidr.js";
import { type EgressPolicy, opens, resolvesNames } from "../../base/egress.js";
import { isClosed } from "../closed.js";
import type { HostDns } from "../host-dns.js";
import type { CardKind, GuestWishes, TapCard } from "../types.js";
import { USER_NET } from "./addresses.js";
import { tapCard } from "./namespace.js";

/** What a VMM is given of it; all the rest is the guest's affair. */
export interface UserCard {
  readonly id: string;
  readonly mac: string;
  readonly backend: { readonly kind: "stream" } | TapCard;
}

export interface UserNetworkPlan {
  /** Of the guest, with prefix length. */
  readonly addresses: readonly string[];
  readonly gateway4: string;
  /** Empty: there is no IPv6. */
  readonly gateway6: string;
  readonly mtu: number;
  readonly dns: HostDns;
}

/** resolv.conf(5): more are ignored. */
const MOST_SERVERS = 3;
const DNS_PORT = 53;
/** Where the VMM's card carries it: large packets meet no wire, and cost a guest less than many small ones. */
const MTU = 65_520;

/** @param host its first server is behind the forwarder; the others are asked where the guest can reach them */
export function planUserNetwork(host: HostDns, { dns, egress }: GuestWishes): UserNetworkPlan {
  return {
    addresses: [`${USER_NET.guest}/${USER_NET.prefixLength}`],
    gateway4: USER_NET.gateway,
    gateway6: "",
    mtu: MTU,
    dns: {
      servers: dns.length > 0 ? [...dns] : serversOf(host.servers, egress),
      search: host.search,
      options: host.options,
    },
  };
}

/** Those that the guest may ask: the others of the host's are some of the addresses that a policy opens or does not. */
function serversOf(servers: readonly string[], egress: EgressPolicy): string[] {
  const isOpen = (server: string) => {
    const address = parseAddress(server);
    return address !== undefined && opens(egress, address, "udp", DNS_PORT);
  };
  if (resolvesNames(egress)) return [USER_NET.resolver, ...othersOf(servers).filter(isOpen)];
  // Without the forwarder even the first is asked by its own address.
  return servers.filter((server) => isReachable(server) && isOpen(server));
}

/** The forwarder stands for one server only, so the guest asks the others itself. Without IPv6, which it does not have. */
function othersOf(servers: readonly string[]): string[] {
  const behindForwarder = servers.find((server) => isIPv4(server) && server !== "0.0.0.0");
  const others = servers.filter((server) => server !== behindForwarder && isReachable(server));
  return [...new Set(others)].slice(0, MOST_SERVERS - 1);
}

/** Not what the guard keeps from guests, and not in the guest's own little net, where somebody else would answer. */
function isReachable(server: string): boolean {
  const address = parseAddress(server);
  if (address?.family !== 4 || server.startsWith(USER_NET.start) || isClosed(address)) return false;
  return !server.startsWith("0.");
}

/** The same for a VM's whole life. @param kind what the VMM has */
export function userCard(vmId: string, kind: CardKind): UserCard {
  return { id: "eth0", mac: macOf(vmId), backend: kind === "tap" ? tapCard() : { kind } };
}

/** Stable for a VM's life: locally administered, unicast. */
export function macOf(vmId: string): string {
  const digest = createHash("sha256").update(`mac ${vmId}`).digest();
  return ["02", ...[...digest.subarray(0, 5)].map((byte) => byte.toString(16).padStart(2, "0"))].join(":");
}
