// The rules of one card on a CNI network, in its namespace: what its guest says passes between its tap and the plugins' link where it
// is the guest's own to say and its policy opens it. They are the cable of the two as well: frames are forwarded here, on each link's
// ingress, because what tc redirects comes by no rule. Pure.

import {
  contains,
  formatAddress,
  formatCidr,
  lastOf,
  parseAddress,
  parseCidr,
  sizeOf,
} from "../../base/cidr.js";
import { type EgressPolicy, resolvesNames } from "../../base/egress.js";
import { DHCP_SENDER, hex48, portsMatch } from "../bridge/plan-card.js";
import { CLOSED_4, CLOSED_6 } from "../closed.js";
import { hex128, ND_TARGET, othersClaims, ownArp, probes } from "../plan-claims.js";
import { planAnswers, planSets } from "./plan-flows.js";

/** The namespace is the card's alone. */
export const FRAMES_TABLE = "kiln";

export interface FramesPlan {
  readonly tap: string;
  /** The plugins' link. */
  readonly link: string;
  readonly mac: string;
  /** Of the card, with the prefixes of what is on its link; none where its plugins give none: it may have any then. */
  readonly addresses: readonly string[];
  /** "" where there is none. */
  readonly gateway4: string;
  readonly gateway6: string;
  /** The resolvers of the network. */
  readonly resolvers: readonly string[];
  readonly egress: EgressPolicy;
  /** The families of IP in which the guest's questions for an address go no further than to who answers here. */
  readonly answered: string;
  /** Whether this kernel can tell the guest that it was refused. */
  readonly rejects: boolean;
}

type Family = 4 | 6;

/** @returns a text for `nft -f`, which takes the place of what an earlier one brought */
export function planFrames(plan: FramesPlan): string {
  const chains: Readonly<Record<string, readonly string[]>> = {
    out: [`fwd to "${plan.link}"`],
    forged: ['counter name "forged" drop'],
    denied: ['counter name "denied"', ...(plan.rejects ? REJECTS : []), "drop"],
    reach4: reach(plan, 4, true),
    reach6: reach(plan, 6, true),
    rest4: reach(plan, 4, false),
    rest6: reach(plan, 6, false),
    v4: rules4(plan),
    v6: rules6(plan),
    neighbours: neighbourRules(plan),
    frames: [
      `type filter hook ingress device "${plan.tap}" priority 0; policy drop;`,
      ...frameRules(plan),
      "goto forged",
    ],
    towards: [
      `type filter hook ingress device "${plan.link}" priority 0; policy drop;`,
      ...(plan.egress.kind === "all" ? [] : planAnswers("from outside")),
      `fwd to "${plan.tap}"`,
    ],
  };
  const body = Object.entries(chains).map(
    ([name, rules]) => `  chain ${name} {\n${rules.map((rule) => `    ${rule}\n`).join("")}  }\n`,
  );
  return `add table netdev ${FRAMES_TABLE}
delete table netdev ${FRAMES_TABLE}
table netdev ${FRAMES_TABLE} {
  counter forged { }
  counter denied { }
${plan.egress.kind === "all" ? "" : planSets()}${body.join("")}}
`;
}

/** As to guests on kiln's own networks. */
const REJECTS = [
  "ether type ip meta l4proto tcp reject with tcp reset",
  "ether type ip reject with icmp type admin-prohibited",
  "ether type ip6 meta l4proto tcp reject with tcp reset",
  "ether type ip6 reject with icmpv6 type admin-prohibited",
];

function frameRules({ mac, addresses, answered }: FramesPlan): string[] {
  const arp = ownArp(mac);
  const own = `ether saddr != ${mac} goto forged`;
  // Its guest asks somebody else for an address, or has been told one by hand: its MAC address is all that is known.
  if (addresses.length === 0)
    return [own, `${arp} goto out`, "ether type ip goto v4", "ether type ip6 goto v6"];
  const [own4, own6] = [hosts(addresses, 4), hosts(addresses, 6)];
  const rules = [own];
  if (own4.length > 0)
    rules.push(
      `${arp} arp saddr ip ${set(own4)} goto out`,
      `${arp} ${probes(own4)} goto out`,
      `ether type ip ip saddr ${set(own4)} goto v4`,
    );
  if (own4.length > 0 || answered.includes("4"))
    rules.push("ether type ip ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 goto v4");
  return [
    ...rules,
    // What an advertisement says of is checked whoever sends it.
    "ether type ip6 icmpv6 type nd-neighbor-advert goto neighbours",
    ...(own6.length > 0 ? [`ether type ip6 ip6 saddr ${set(own6)} goto v6`] : []),
    "ether type ip6 ip6 saddr { ::, fe80::/10 } goto neighbours",
  ];
}

/**
 * Nobody but the network speaks for it. What comes behind in a datagram that is in several pieces begins with no ports, and some
 * kernels take its bytes for some.
 */
function rules4({ mac, answered }: FramesPlan): string[] {
  return [
    "ip frag-off & 0x1fff != 0 goto rest4",
    "udp sport 67 goto forged",
    // Whoever answers here has read it, before any rule.
    answered.includes("4") ? "udp dport 67 drop" : `udp dport 67 ${DHCP_SENDER} != ${hex48(mac)} goto forged`,
    "icmp type redirect goto forged",
    "goto reach4",
  ];
}

function rules6({ answered, ...plan }: FramesPlan): string[] {
  return [
    "frag frag-off != 0 goto rest6",
    "icmpv6 type { nd-router-advert, nd-redirect } goto forged",
    "udp sport 547 goto forged",
    ...(answered.includes("6") ? ["udp dport 547 drop"] : []),
    // No router takes it further than its link.
    `icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } ip6 daddr ${near6(plan)} goto out`,
    "goto reach6",
  ];
}

/** From a link-local address or none yet, and advertisements: for the link alone. */
function neighbourRules({ mac, addresses, answered, ...plan }: FramesPlan): string[] {
  const own6 = hosts(addresses, 6);
  const advert = `icmpv6 type nd-neighbor-advert ${ND_TARGET}`;
  const gateway = plan.gateway6 === "" ? [] : [plan.gateway6];
  return [
    ...(gateway.length > 0 ? [`${advert} ${hex128(plan.gateway6)} goto forged`] : []),
    `ip6 saddr != ${set(["::", "fe80::/10", ...own6])} goto forged`,
    ...gateway.filter(isLinkLocal).map((address) => `ip6 saddr ${address} goto forged`),
    `ip6 daddr != ${near6({ addresses, ...plan })} goto forged`,
    ...othersClaims(mac, own6),
    ...own6.map((address) => `${advert} ${hex128(address)} goto out`),
    // fe80::/10
    `icmpv6 type nd-neighbor-advert @th,64,10 0x3fa goto out`,
    "icmpv6 type { nd-neighbor-solicit, nd-router-solicit, mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report } goto out",
    `udp sport 546 udp dport 547 ${answered.includes("6") ? "drop" : "goto out"}`,
    "goto forged",
  ];
}

/** Where neighbour discovery goes. */
function near6({ addresses, gateway6 }: Pick<FramesPlan, "addresses" | "gateway6">): string {
  const gateway = gateway6 === "" || isLinkLocal(gateway6) ? [] : [gateway6];
  return set(["fe80::/10", "ff02::/16", ...uncovered(gateway, peers(addresses, 6)), ...peers(addresses, 6)]);
}

/**
 * What of the world a guest reaches: the network's resolvers, what its policy opens, those whom it answers, its neighbours.
 *
 * @param hasPorts of what does not have them, what is opened by address alone
 */
function reach(plan: FramesPlan, family: Family, hasPorts: boolean): string[] {
  const { addresses, resolvers, egress } = plan;
  const ip = family === 4 ? "ip" : "ip6";
  const names = addressesOf(resolvers, family).map((address) => `${ip} daddr ${address}`);
  const port53 = "meta l4proto { tcp, udp } th dport 53";
  const closed = `${ip} daddr ${set(family === 4 ? CLOSED_4 : CLOSED_6)} goto denied`;
  // Also where a cloud has them at a link-local address.
  const open = resolvesNames(egress) && hasPorts ? names.map((to) => `${to} ${port53} goto out`) : [];
  // Another destination than that of the packet.
  const routed = family === 4 ? "ip hdrlength > 5 goto denied" : "exthdr rt exists goto denied";
  if (egress.kind === "all") return [...open, closed, ...(family === 6 ? [routed] : []), "goto out"];
  // They may be neighbours; by pieces that lie over each other a port could be hidden.
  const hidden = family === 4 ? "ip frag-off & 0x3fff != 0" : "exthdr frag exists";
  const shut = names.flatMap((to) => [`${to} ${port53} goto denied`, `${to} ${hidden} goto denied`]);
  return [
    ...open,
    closed,
    ...(family === 4 ? TO_ALL_4 : TO_ALL_6),
    routed,
    ...(egress.kind === "list" ? egress.rules : [])
      .filter((rule) => rule.to.family === family && (hasPorts || rule.ports === undefined))
      .map((rule) => `${to(rule.to, ip)}${portsMatch(rule)} goto out`.trim()),
    ...(hasPorts ? planAnswers(family) : []),
    ...(resolvesNames(egress) ? [] : shut),
    ...gateway(plan, family),
    ...peers(addresses, family).flatMap((range) => [
      ...edges(range).map((edge) => `${ip} daddr ${edge} goto denied`),
      `${ip} daddr ${range} goto out`,
    ]),
    "goto denied",
  ];
}

/** What the network itself needs of what goes to all: the host, which is no neighbour, hears that too, by any port. */
const TO_ALL_4 = [
  "ip daddr 224.0.0.0/24 ip protocol igmp goto out",
  "ip daddr 255.255.255.255 udp sport 68 udp dport 67 goto out",
];
const TO_ALL_6 = [
  "ip6 daddr ff02::/16 icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } goto out",
  "ip6 daddr ff02::1:2 udp sport 546 udp dport 547 goto out",
];

/** The addresses of a range that are nobody's: all hosts, or all routers, take them for their own. */
function edges(range: string): string[] {
  const cidr = parseCidr(range);
  if (cidr === undefined || sizeOf(cidr) < 4n) return [];
  const first = formatAddress({ family: cidr.family, value: cidr.first });
  return cidr.family === 6 ? [first] : [first, formatAddress({ family: 4, value: lastOf(cidr) })];
}

/** It is the host in most networks, and a neighbour of its own kind. */
function gateway({ gateway4, gateway6 }: FramesPlan, family: Family): string[] {
  const [to, echo] =
    family === 4
      ? [`ip daddr ${gateway4}`, "icmp type echo-request"]
      : [`ip6 daddr ${gateway6}`, "icmpv6 type echo-request"];
  const isThere = (family === 4 ? gateway4 : gateway6) !== "";
  return isThere ? [`${to} ${echo} goto out`, `${to} goto denied`] : [];
}

function to(range: Parameters<typeof formatCidr>[0], ip: string): string {
  return range.prefix === 0 ? "" : `${ip} daddr ${formatCidr(range)}`;
}

/** The ranges of those that the guest reaches by its link. */
function peers(addresses: readonly string[], family: Family): string[] {
  const ranges = addresses.flatMap((address) => {
    const [word = "", prefix = ""] = address.split("/");
    const parsed = parseAddress(word);
    if (parsed === undefined || parsed.family !== family) return [];
    const size = 1n << BigInt((family === 4 ? 32 : 128) - Number(prefix));
    return [formatCidr({ family, first: parsed.value - (parsed.value % size), prefix: Number(prefix) })];
  });
  // One within another is no element beside it.
  return [...new Set(ranges)].filter(
    (range, _at, all) => !all.some((other) => other !== range && isWithin(range, other)),
  );
}

function uncovered(addresses: readonly string[], ranges: readonly string[]): string[] {
  return addresses.filter((address) => !ranges.some((range) => isWithin(address, range)));
}

function isWithin(range: string, other: string): boolean {
  const [inner, outer] = [parseCidr(range), parseCidr(other)];
  if (inner === undefined || outer === undefined || inner.prefix < outer.prefix) return false;
  return contains(outer, { family: inner.family, value: inner.first });
}

function hosts(addresses: readonly string[], family: Family): string[] {
  return addressesOf(
    addresses.map((address) => address.split("/")[0] ?? ""),
    family,
  );
}

function addressesOf(addresses: readonly string[], family: Family): string[] {
  return [...new Set(addresses)].filter((address) => parseAddress(address)?.family === family);
}

function isLinkLocal(address: string): boolean {
  return isWithin(address, "fe80::/10");
}

function set(elements: readonly string[]): string {
  return elements.length === 1 ? (elements[0] ?? "") : `{ ${elements.join(", ")} }`;
}
