// What a guest is told by DHCP of what its VM was given: the same as the agent tells it, where it does not ask.

import type { LeaseSettings } from "../../net/types.js";
import { hostnameOf } from "../vm/boot-plan.js";
import type { VmRecord } from "../vm/record.js";
import { type CardPlace, cardsOf } from "./network-uses.js";
import type { Networks } from "./networks.js";

/**
 * What a VM has on networks of kiln's own, with what its guest is told there: its way out is by the user network, or by the first
 * card on a network that has one, as `bridge-card` tells it.
 */
export function leasedCards(
  record: Pick<VmRecord, "id" | "config">,
  networks: Pick<Networks, "get">,
): CardPlace[] {
  const isUser = record.config.network === "user";
  const routed = { v4: isUser, v6: isUser };
  return cardsOf(record).map(({ networkId, card }) => {
    const lease = leaseSettings(record, { ...routed });
    const isOut = networks.get(networkId)?.record.internal === false;
    routed.v4 ||= isOut && card.ip4 !== undefined;
    routed.v6 ||= isOut && card.ip6 !== undefined;
    return { networkId, card: { ...card, lease } };
  });
}

/** Pure. @param routed the families in which its way out is by another card */
export function leaseSettings(
  record: Pick<VmRecord, "id" | "config">,
  routed: LeaseSettings["routed"],
): LeaseSettings {
  const { dns, dnsSearch } = record.config;
  return {
    hostname: hostnameOf(record),
    dns: dns.length === 0 ? undefined : dns,
    // "." alone says that there are none.
    search: dnsSearch.length === 0 ? undefined : dnsSearch.filter((domain) => domain !== "."),
    routed,
  };
}
