// A network's rules for nft(8). Pure. What is where, and why: docs/design/0030-networks.md. Each ruleset brings about what is
// missing and may be loaded again; verdicts of cards and their counters stay when the network's own rules are loaded anew.

import { bridgeName, type NetworkSpec, tableName } from "../../base/networks.js";
import { CLOSED_4, CLOSED_6 } from "../closed.js";
import { HELPER_GROUPS } from "../user/plan.js";
import { bridgeMac } from "./plan-links.js";

/** All of kiln's bridges on this host, of whichever data root. */
const ANY_BRIDGE = `"kn*"`;
/** Whose bridge somebody has deleted: a tap is a port, and nothing comes of itself. */
const STRAY = `iifname "kt*" drop`;
/** Where the resolver that forwards nothing listens, for guests that may ask for names of their network only. */
export const CLOSED_DNS_PORT = 1053;

/** Each is a connection to the kernel, which forgets it after half a minute. */
const ECHO = "limit rate 1000/second burst 1000 packets accept";
/** A resolver talks to 20 at a time, and each guest has its share: it may say nothing for as long as it likes. */
const MOST_TALKS = 4;
const AT_OPEN_NAMES = "meta l4proto { tcp, udp } th dport 53 goto refused";

/** @returns a text for `nft -f -` */
export function planRules(spec: NetworkSpec): string {
  const [table, bridge] = [tableName(spec.id), `"${bridgeName(spec.id)}"`];
  const chains = Object.entries(chainsOf(spec, bridge));
  const bases = chains.map(([name, { head }]) => `  chain ${name} { ${head}\n  }`);
  return `${[
    `table inet ${table} {`,
    "  set closed4 { type ipv4_addr; flags interval;",
    `    elements = { ${CLOSED_4.join(", ")} }\n  }`,
    "  set closed6 { type ipv6_addr; flags interval;",
    `    elements = { ${CLOSED_6.join(", ")} }\n  }`,
    "  set talks4 { type ipv4_addr; size 65535; flags dynamic; }",
    "  set talks6 { type ipv6_addr; size 65535; flags dynamic; }",
    "  set unresolved4 { type ipv4_addr; }",
    "  set unresolved6 { type ipv6_addr; }",
    "  map cards4 { type ipv4_addr : verdict; }",
    "  map cards6 { type ipv6_addr : verdict; }",
    ...bases,
    "}",
    ...chains.map(([name]) => `flush chain inet ${table} ${name}`),
    `table inet ${table} {`,
    ...chains.map(
      ([name, { rules }]) => `  chain ${name} {\n${rules.map((rule) => `    ${rule}\n`).join("")}  }`,
    ),
    "}",
  ].join("\n")}\n`;
}

interface Chain {
  /** "" of one that others jump to. */
  readonly head: string;
  readonly rules: readonly string[];
}

function chainsOf(spec: NetworkSpec, bridge: string): Readonly<Record<string, Chain>> {
  return {
    refused: {
      head: "",
      rules: ["meta l4proto tcp reject with tcp reset", "reject with icmpx admin-prohibited"],
    },
    prerouting: {
      head: "type nat hook prerouting priority dstnat; policy accept;",
      rules: closedNames(spec, bridge),
    },
    postrouting: { head: "type nat hook postrouting priority srcnat; policy accept;", rules: wayOut(spec) },
    forward: {
      head: "type filter hook forward priority filter; policy accept;",
      rules: [
        STRAY,
        `iifname ${bridge} goto from_guests`,
        `oifname ${bridge} ct state established,related accept`,
        // Published ports.
        ...(spec.internal ? [] : [`oifname ${bridge} ct status dnat accept`]),
        `oifname ${bridge} goto refused`,
      ],
    },
    from_guests: {
      head: "",
      rules: [
        // By the router back onto the network: each of its addresses, a /64 of them, would be asked for and fill the host's one table of neighbours.
        `oifname ${bridge} ether daddr ${bridgeMac(spec.id)} goto refused`,
        // Where bridged packets pass here as well (br_netfilter).
        `oifname ${bridge} ${spec.isolated ? "goto refused" : "accept"}`,
        // What the guest answers. What it begins is looked at each time: an address that another VM had has that one's flows.
        "ct direction reply ct state established,related accept",
        "ip saddr vmap @cards4",
        "ip6 saddr vmap @cards6",
        "goto refused",
      ],
    },
    input: {
      head: "type filter hook input priority filter; policy accept;",
      rules: [STRAY, `iifname ${bridge} goto to_host`],
    },
    to_host: { head: "", rules: toHost(spec) },
    output: {
      head: "type filter hook output priority filter; policy accept;",
      rules: ofOtherVms(spec),
    },
  };
}

/** VMs on the user network send as processes of the host, which reaches its networks: they are on another. */
function ofOtherVms({ subnet4, subnet6 }: NetworkSpec): string[] {
  const senders = `meta skgid ${HELPER_GROUPS.first}-${HELPER_GROUPS.last}`;
  return [
    ...(subnet4 === undefined ? [] : [`${senders} ip daddr ${subnet4} goto refused`]),
    ...(subnet6 === undefined ? [] : [`${senders} ip6 daddr ${subnet6} goto refused`]),
  ];
}

/** Of the host a guest reaches what its network is made of, and nothing else. */
function toHost(spec: NetworkSpec): string[] {
  const gateways = [
    ...(spec.gateway4 === undefined ? [] : [`ip daddr ${spec.gateway4}`]),
    ...(spec.gateway6 === undefined ? [] : [`ip6 daddr ${spec.gateway6}`]),
  ];
  return [
    "ct direction reply ct state established,related accept",
    // Sent to the closed resolver's port, but in a flow of the address's former VM.
    ...(spec.gateway4 === undefined ? [] : [`ip saddr @unresolved4 ${AT_OPEN_NAMES}`]),
    ...(spec.gateway6 === undefined ? [] : [`ip6 saddr @unresolved6 ${AT_OPEN_NAMES}`]),
    ...(spec.dnsDisabled ? [] : gateways.flatMap(atNames)),
    // kiln-lease has seen them by then.
    "udp dport { 67, 547 } drop",
    ...(spec.gateway4 === undefined ? [] : [`ip daddr ${spec.gateway4} icmp type echo-request ${ECHO}`]),
    ...(spec.gateway6 === undefined ? [] : [`ip6 daddr ${spec.gateway6} icmpv6 type echo-request ${ECHO}`]),
    "icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-report, mld2-listener-report } accept",
    "goto refused",
  ];
}

/** @param to its address, which may be of either family */
function atNames(to: string): string[] {
  const family = to.startsWith("ip6 ") ? "6" : "4";
  const sender = family === "6" ? "ip6 saddr" : "ip saddr";
  const ports = `{ 53, ${CLOSED_DNS_PORT} }`;
  return [
    `${to} tcp dport ${ports} ct state new add @talks${family} { ${sender} ct count over ${MOST_TALKS} } goto refused`,
    `${to} meta l4proto { tcp, udp } th dport 53 accept`,
    // By way of the other port alone, at which questions are counted.
    `${to} meta l4proto { tcp, udp } th dport ${CLOSED_DNS_PORT} ct status dnat accept`,
  ];
}

function wayOut({ internal, subnet4, subnet6 }: NetworkSpec): string[] {
  if (internal) return [];
  return [
    ...(subnet4 === undefined ? [] : [`ip saddr ${subnet4} oifname != ${ANY_BRIDGE} masquerade`]),
    ...(subnet6 === undefined ? [] : [`ip6 saddr ${subnet6} oifname != ${ANY_BRIDGE} masquerade`]),
  ];
}

function closedNames({ dnsDisabled, gateway4, gateway6 }: NetworkSpec, bridge: string): string[] {
  if (dnsDisabled) return [];
  const redirect = `meta l4proto { tcp, udp } th dport 53 redirect to :${CLOSED_DNS_PORT}`;
  return [
    ...(gateway4 === undefined
      ? []
      : [`iifname ${bridge} ip saddr @unresolved4 ip daddr ${gateway4} ${redirect}`]),
    ...(gateway6 === undefined
      ? []
      : [`iifname ${bridge} ip6 saddr @unresolved6 ip6 daddr ${gateway6} ${redirect}`]),
  ];
}

/** Without rules, which go last. */
export function planNoRules(tables: readonly (readonly [family: string, name: string])[]): string {
  // To add first what is to go makes it no error that it has gone.
  return tables
    .map(([family, name]) => `add table ${family} ${name}\ndelete table ${family} ${name}\n`)
    .join("");
}
