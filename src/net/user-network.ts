// The `user` network as the guest sees it: the same little net 10.0.2.0/24 in every VM (each behind its own NAT), so
// nothing has to be handed out and two VMs never clash. No IPv6: a second way in to guard
// (docs/design/0007-user-network.md).

import { createHash } from "node:crypto";
import type { HostDns } from "./host-dns.js";

export interface UserNetworkPlan {
  readonly card: { readonly mac: string; readonly mode: "user" };
  /** Of the guest, with prefix length. */
  readonly addresses: readonly string[];
  readonly gateway4: string;
  /** Empty: there is no IPv6. */
  readonly gateway6: string;
  readonly mtu: number;
  readonly dns: HostDns;
}

export const GUEST_ADDRESS = "10.0.2.15";
export const GUEST_PREFIX = 24;
export const GATEWAY = "10.0.2.2";
/** Forwards to the host's resolver, wherever that is, the host's loopback included. */
export const DNS_FORWARDER = "10.0.2.3";
/** Where the VMM's card carries it: large packets meet no wire, and cost a guest less than many small ones. */
const MTU = 65_520;

/**
 * @param host for the search domains; its servers are behind the forwarder
 * @param servers of the user's choice, instead of the forwarder
 */
export function planUserNetwork(
  vmId: string,
  host: HostDns,
  servers: readonly string[] = [],
): UserNetworkPlan {
  return {
    card: { mac: macOf(vmId), mode: "user" },
    addresses: [`${GUEST_ADDRESS}/${GUEST_PREFIX}`],
    gateway4: GATEWAY,
    gateway6: "",
    mtu: MTU,
    dns: {
      servers: servers.length > 0 ? [...servers] : [DNS_FORWARDER],
      search: host.search,
      options: host.options,
    },
  };
}

/** Stable for a VM's life: locally administered, unicast. */
export function macOf(vmId: string): string {
  const digest = createHash("sha256").update(`mac ${vmId}`).digest();
  return ["02", ...[...digest.subarray(0, 5)].map((byte) => byte.toString(16).padStart(2, "0"))].join(":");
}
