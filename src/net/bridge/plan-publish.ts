// Published ports as rules: what comes from other machines to a port of the host is sent on to a card's port, by a look-up in
// maps of the network's table. Pure. The host itself, its loopback and VMs do not pass here: kilnd listens at each port, too,
// so that nobody else has it, and dials for those.

import { type Cidr, contains, formatAddress, parseAddress, parseCidr } from "../../base/cidr.js";
import { type NetworkSpec, tableName } from "../../base/networks.js";
import { DEFAULT_HOST_IP, type PortMapping } from "../../base/ports.js";
import type { NetworkCard } from "../types.js";
import type { Listing } from "./found.js";

/** Of a network's table: by protocol and port alone for all addresses of the host, and with one of these before. */
const MAPS = {
  any4: { key: "inet_proto . inet_service", family: "ipv4", address: "ip" },
  any6: { key: "inet_proto . inet_service", family: "ipv6", address: "ip6" },
  at4: { key: "ipv4_addr . inet_proto . inet_service", family: "ipv4", address: "ip" },
  at6: { key: "ipv6_addr . inet_proto . inet_service", family: "ipv6", address: "ip6" },
} as const;
type MapName = keyof typeof MAPS;

/** An element of one of the maps. */
interface Element {
  readonly map: MapName;
  readonly key: string;
  readonly to: string;
}

const LOOPBACK = ["127.0.0.0/8", "::1/128"].map((text) => parseCidr(text) as Cidr);

/**
 * What leads to the card; undefined for a port that no rule leads to: one of the host's loopback, of a family that the card has
 * not, or one that is none (a record may have been changed by hand).
 */
function elementOf(
  card: NetworkCard,
  { hostIp, hostPort, vmPort, protocol }: PortMapping,
): Element | undefined {
  const host = parseAddress(hostIp === "" ? DEFAULT_HOST_IP : hostIp);
  if (host === undefined || LOOPBACK.some((range) => contains(range, host))) return undefined;
  const address = host.family === 4 ? card.ip4 : card.ip6;
  if (address === undefined || ![hostPort, vmPort].every(isPort)) return undefined;
  const port = `${protocol === "udp" ? "udp" : "tcp"} . ${hostPort}`;
  const isAny = host.value === 0n;
  return {
    map: `${isAny ? "any" : "at"}${host.family}`,
    // As nft writes it, by which what is there is found again.
    key: isAny ? port : `${formatAddress(host)} . ${port}`,
    to: `${address} . ${vmPort}`,
  };
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}

/** @returns a text for `nft -f -`, which may be loaded again; "" where no rule leads there */
export function planPublish(spec: NetworkSpec, card: NetworkCard, port: PortMapping): string {
  const element = elementOf(card, port);
  if (element === undefined) return "";
  const table = tableName(spec.id);
  return `${planMaps(table)}add element inet ${table} ${element.map} { ${element.key} : ${element.to} }\n`;
}

/** What was never there is no error: it is added first. */
export function planUnpublish(spec: NetworkSpec, card: NetworkCard, port: PortMapping): string {
  const element = elementOf(card, port);
  if (element === undefined) return "";
  return `${planPublish(spec, card, port)}delete element inet ${tableName(spec.id)} ${element.map} { ${element.key} }\n`;
}

/** Made with the first published port: a kernel without what they are made of has networks all the same. */
function planMaps(table: string): string {
  const maps = Object.entries(MAPS).map(
    ([name, { key, family }]) => `  map ${name} { type ${key} : ${family}_addr . inet_service; }`,
  );
  const rules = (["at4", "any4", "at6", "any6"] as const).map((name) => {
    const { family, address } = MAPS[name];
    const at = name.startsWith("at") ? `${address} daddr . ` : "";
    return `meta nfproto ${family} dnat ${address} to ${at}meta l4proto . th dport map @${name}`;
  });
  const chain = `add rule inet ${table} published`;
  return `${[
    `table inet ${table} {`,
    ...maps,
    "  chain published { type nat hook prerouting priority dstnat + 1; policy accept;\n  }",
    "}",
    `flush chain inet ${table} published`,
    // VMs reach each other on their networks, and by the host no more than without a published port.
    `${chain} iifname { "lo", "kn*" } return`,
    `${chain} fib daddr type != local return`,
    ...rules.map((rule) => `${chain} ${rule}`),
  ].join("\n")}\n`;
}

/**
 * Rules that take away what leads to nobody, or to a card that has not got the port, and bring about what is missing.
 *
 * @param listing of the network's table
 * @param cards those that are on the network, with the ports that they are to have
 */
export function planPorts(listing: Listing, spec: NetworkSpec, cards: readonly NetworkCard[]): string {
  const published = cards.flatMap((card) => (card.ports ?? []).map((port) => planPublish(spec, card, port)));
  return planUnowned(listing, tableName(spec.id), cards) + published.join("");
}

function planUnowned(listing: Listing, table: string, cards: readonly NetworkCard[]): string {
  const owned = new Set(
    cards.flatMap((card) =>
      (card.ports ?? []).flatMap((port) => {
        const element = elementOf(card, port);
        return element === undefined ? [] : [`${element.map} ${element.key} : ${element.to}`];
      }),
    ),
  );
  const found = listing.flatMap(({ map }) =>
    (map?.elem ?? []).flatMap((element) => {
      const [key, to] = partsOf(element);
      return map !== undefined &&
        Object.hasOwn(MAPS, map.name) &&
        key !== "" &&
        !owned.has(`${map.name} ${key} : ${to}`)
        ? [`delete element inet ${table} ${map.name} { ${key} }\n`]
        : [];
    }),
  );
  return found.join("");
}

/** Of `[{"concat": ["tcp", 8080]}, {"concat": ["10.89.1.5", 80]}]`. */
function partsOf(element: unknown): [key: string, to: string] {
  const parts = Array.isArray(element) ? element.map(wordsOf) : [];
  const [key = "", to = ""] = parts;
  return [key, to];
}

function wordsOf(part: unknown): string {
  const words = (part as { concat?: unknown } | null)?.concat;
  return Array.isArray(words) ? words.map(String).join(" . ") : "";
}
