// The rules of one card: what may come out of its tap, and what it may reach outside. Pure.

import { formatCidr } from "../../base/cidr.js";
import { type EgressPolicy, type EgressRule, resolvesNames } from "../../base/egress.js";
import { cardName, type NetworkSpec, tableName, tapName } from "../../base/networks.js";
import { hex128, ND_TARGET, othersClaims, ownArp, probes } from "../plan-claims.js";
import type { NetworkCard } from "../types.js";
import { ROUTER_LINK_LOCAL } from "./plan-links.js";

/** Questions of one guest within a second: more is a flood. So many at once leave room in the resolver's buffer for others. */
const DNS_RATE = "limit rate over 200/second burst 150 packets";

/** The same of what a guest asks for its address: whoever answers does so for all of them. */
const LEASE_RATE = "limit rate over 20/second burst 40 packets";
/** New connections to outside: the kernel's one table of them is all networks' and the host's own, and keeps some unanswered for two minutes. */
const BEGIN_RATE = "ct state new limit rate over 1000/second burst 5000 packets";
/** The hardware address in what a DHCP client says: one could decline another's lease. */
export const DHCP_SENDER = "@th,288,48";

/** The table of a card in the netdev family: it goes and comes with the card as a whole. */
export function cardTable({ vmId, index }: Pick<NetworkCard, "vmId" | "index">): string {
  return `kiln_${cardName(vmId, index)}`;
}

/** Loaded when the card's tap is there: a rule can't name a link before. @returns a text for `nft -f` */
export function planCard(spec: NetworkSpec, card: NetworkCard): string {
  return planPolicy(spec, card) + planTap(card, tapName(card.vmId, card.index));
}

/** What the card may reach outside of its network, with its counter. */
export function planPolicy(spec: NetworkSpec, card: NetworkCard): string {
  const [table, name] = [tableName(spec.id), cardName(card.vmId, card.index)];
  const rules = policyRules(spec, card.egress, name);
  const isUnresolved = !resolvesNames(card.egress);
  return [
    `add counter inet ${table} ${name}`,
    `add chain inet ${table} ${name}`,
    `flush chain inet ${table} ${name}`,
    ...rules.map((rule) => `add rule inet ${table} ${name} ${rule}`),
    ...elements(card).flatMap(([family, address]) => [
      `add element inet ${table} cards${family} { ${address} : goto ${name} }`,
      ...(isUnresolved ? [`add element inet ${table} unresolved${family} { ${address} }`] : []),
    ]),
    "",
  ].join("\n");
}

/** Of a card that is no longer. What was never there is no error: it is added first. */
export function planNoCard(spec: NetworkSpec, card: NetworkCard): string {
  const [table, name] = [tableName(spec.id), cardName(card.vmId, card.index)];
  const all = elements(card).flatMap(([family, address]) => [
    [`cards${family}`, address, `${address} : goto ${name}`],
    [`unresolved${family}`, address, address],
  ]);
  return [
    `add counter inet ${table} ${name}`,
    `add chain inet ${table} ${name}`,
    ...all.map(([set, , element]) => `add element inet ${table} ${set} { ${element} }`),
    ...all.map(([set, address]) => `delete element inet ${table} ${set} { ${address} }`),
    `flush chain inet ${table} ${name}`,
    `delete chain inet ${table} ${name}`,
    `delete counter inet ${table} ${name}`,
    `add table netdev ${cardTable(card)}`,
    `delete table netdev ${cardTable(card)}`,
    "",
  ].join("\n");
}

function elements({ ip4, ip6 }: NetworkCard): (readonly [4 | 6, string])[] {
  return [
    ...(ip4 === undefined ? [] : [[4, ip4] as const]),
    ...(ip6 === undefined ? [] : [[6, ip6] as const]),
  ];
}

function policyRules(spec: NetworkSpec, egress: EgressPolicy, counter: string): string[] {
  const refuse = `counter name "${counter}" goto refused`;
  if (spec.internal || egress.kind === "none") return [refuse];
  const closed = [
    `${BEGIN_RATE} counter name "${counter}" drop`,
    `oifname "kn*" ${refuse}`,
    `ip daddr @closed4 ${refuse}`,
    `ip6 daddr @closed6 ${refuse}`,
  ];
  if (egress.kind === "all") return [...closed, "accept"];
  return [...closed, ...egress.rules.map((rule) => `${matchOf(rule)} accept`), refuse];
}

/** Fragments are whole by then: whoever tracks connections puts them together first. */
function matchOf(rule: EgressRule): string {
  const { to } = rule;
  const range =
    to.prefix === 0
      ? `meta nfproto ${to.family === 4 ? "ipv4" : "ipv6"}`
      : `${to.family === 4 ? "ip" : "ip6"} daddr ${formatCidr(to)}`;
  return `${range}${portsMatch(rule)}`;
}

/** "" of one that opens all of them. */
export function portsMatch({ ports }: EgressRule): string {
  if (ports === undefined) return "";
  const protocols = ports.protocol ?? "{ tcp, udp }";
  const span = ports.first === ports.last ? String(ports.first) : `${ports.first}-${ports.last}`;
  return ` meta l4proto ${protocols} th dport ${span}`;
}

/**
 * Nothing but a guest's own addresses, and nothing that speaks for the network, comes out of its tap. What comes behind in a
 * datagram in several pieces has no ports, and some kernels take its bytes for some.
 */
function planTap(card: NetworkCard, tap: string): string {
  const table = cardTable(card);
  return `add table netdev ${table}
delete table netdev ${table}
table netdev ${table} {
  counter forged { }
  counter flood { }
  chain frames { type filter hook ingress device "${tap}" priority 0; policy drop;
${[...linkRules(card), ...rules4(card), ...rules6(card), "goto forged"].map((rule) => `    ${rule}\n`).join("")}  }
  chain v4 {
    ip frag-off & 0x1fff != 0 accept
    udp sport 67 goto forged
    udp dport 67 ${DHCP_SENDER} != ${hex48(card.mac)} goto forged
    udp dport 67 ${LEASE_RATE} counter name "flood" drop
    udp dport 53 ${DNS_RATE} counter name "flood" drop
    icmp type redirect goto forged
    accept
  }
  chain v6 {
    frag frag-off != 0 accept
    icmpv6 type { nd-router-advert, nd-redirect } goto forged
    udp sport 547 goto forged
    icmpv6 type nd-router-solicit ${LEASE_RATE} counter name "flood" drop
    udp dport 53 ${DNS_RATE} counter name "flood" drop
    accept
  }
  chain neighbours {
    ip6 nexthdr != icmpv6 ip6 nexthdr != hopopt ip6 nexthdr != udp goto forged
${neighbourRules(card)
  .map((rule) => `    ${rule}\n`)
  .join("")}    goto forged
  }
  chain forged {
    counter name "forged" drop
  }
}
`;
}

function linkRules({ mac }: NetworkCard): string[] {
  return [`ether saddr != ${mac} goto forged`];
}

function rules4({ mac, ip4 }: NetworkCard): string[] {
  if (ip4 === undefined) return [];
  return [
    `${ownArp(mac)} arp saddr ip ${ip4} accept`,
    `${ownArp(mac)} ${probes([ip4])} accept`,
    `ether type ip ip saddr ${ip4} goto v4`,
    "ether type ip ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 goto v4",
  ];
}

function rules6({ ip6 }: NetworkCard): string[] {
  return [
    // What an advertisement says of is checked whoever sends it.
    "ether type ip6 icmpv6 type nd-neighbor-advert goto neighbours",
    ...(ip6 === undefined ? [] : [`ether type ip6 ip6 saddr ${ip6} goto v6`]),
    `ether type ip6 ip6 saddr ${ROUTER_LINK_LOCAL} goto forged`,
    "ether type ip6 ip6 saddr { ::, fe80::/10 } goto neighbours",
  ];
}

/** From a link-local address, or none yet. */
function neighbourRules({ mac, ip6 }: NetworkCard): string[] {
  const target = `icmpv6 type nd-neighbor-advert ${ND_TARGET}`;
  return [
    `${target} ${hex128(ROUTER_LINK_LOCAL)} goto forged`,
    ...othersClaims(mac, ip6 === undefined ? [] : [ip6]),
    ...(ip6 === undefined ? [] : [`${target} ${hex128(ip6)} accept`]),
    "icmpv6 type nd-neighbor-advert @th,64,10 0x3fa accept",
    `icmpv6 type nd-router-solicit ${LEASE_RATE} counter name "flood" drop`,
    `udp dport 547 ${LEASE_RATE} counter name "flood" drop`,
    "icmpv6 type { nd-neighbor-solicit, nd-router-solicit, mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report } accept",
    "udp sport 546 udp dport 547 accept",
  ];
}

export function hex48(mac: string): string {
  return `0x${mac.replaceAll(":", "")}`;
}
