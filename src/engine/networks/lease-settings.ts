// What a guest is told by DHCP of what its VM was given: the same as the agent tells it, where it does not ask.

import type { LeaseSettings } from "../../net/types.js";
import { hostnameOf } from "../vm/boot-plan.js";
import type { VmRecord } from "../vm/record.js";

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
