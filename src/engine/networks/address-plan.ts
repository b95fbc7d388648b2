// Which addresses a network has: what was asked, looked at, or the first that are free. Pure.

import {
  type Cidr,
  contains,
  formatAddress,
  formatCidr,
  lastOf,
  overlaps,
  parseAddress,
  parseCidr,
  sizeOf,
} from "../../base/cidr.js";
import { Code, KilnError } from "../../base/errors.js";
import { ulaFor } from "../../base/networks.js";
import type { NetworkRecord } from "./record.js";
import type { NetworkOrder } from "./spec.js";

/** A range that a new network may not touch. */
export interface Occupied {
  readonly range: Cidr;
  /** For the refusal: "network web", "eth0 of this host". */
  readonly by: string;
}

export interface PlanFacts {
  readonly id: string;
  /** IPv4 ranges from which networks that name none are given a /24 each. */
  readonly pools: readonly Cidr[];
  readonly occupied: readonly Occupied[];
}

export type NetworkAddresses = Pick<
  NetworkRecord,
  "subnet4" | "gateway4" | "range4" | "subnet6" | "gateway6"
>;

/** Of each network of a pool. */
const POOL_PREFIX = 24;
/** A gateway, one VM, and the first and last, which are nobody's. */
const MOST_PREFIX = 30;
const LEAST_PREFIX = 8;
/** So that guests can make their own link's addresses. */
const PREFIX_6 = 64;
/** What is nobody's to give away, however free it looks. */
const NEVER: readonly Occupied[] = [
  ["0.0.0.0/8", "addresses of no network"],
  ["127.0.0.0/8", "the loopback of every machine"],
  ["169.254.0.0/16", "link-local addresses and clouds' metadata"],
  ["100.100.100.200/32", "a cloud's metadata"],
  ["168.63.129.16/32", "a cloud's metadata"],
  ["224.0.0.0/3", "groups' and reserved addresses"],
  ["10.0.2.0/24", "the `user` network inside every VM"],
  ["::/16", "addresses of no network"],
  ["64:ff9b::/96", "IPv4 behind a translator"],
  ["fd00:ec2::/32", "a cloud's metadata"],
  ["fe80::/10", "link-local addresses"],
  ["ff00::/8", "groups' addresses"],
].map(([range = "", by = ""]) => ({ range: must(parseCidr(range)), by }));

/**
 * @throws KilnError invalid_argument `bad-subnet`, `bad-gateway`, `bad-ip-range`; already_exists `subnet-overlaps`;
 *   resource_exhausted `no-free-subnet`
 */
export function planAddresses(order: NetworkOrder, facts: PlanFacts): NetworkAddresses {
  const subnets = byFamily("--subnet", order.subnets, parseSubnet);
  const ranges = byFamily("--ip-range", order.ranges, (text) =>
    must(parseCidr(text), badRange(text, "it is no range of addresses")),
  );
  const gateways = byFamily("--gateway", order.gateways, parseGateway);
  const occupied = [...NEVER, ...facts.occupied];
  for (const subnet of subnets.values()) requireFree(subnet, occupied);
  const wants6 = order.ipv6 || subnets.has(6);
  const subnet6 = wants6 ? (subnets.get(6) ?? ownUla(facts.id, occupied)) : undefined;
  // One that is given a subnet of IPv6 alone has that alone.
  const subnet4 =
    subnets.get(4) ?? (subnets.has(6) && !order.ipv6 ? undefined : firstFree(facts.pools, occupied));
  return {
    subnet4: textOf(subnet4),
    subnet6: textOf(subnet6),
    gateway4: gatewayOf(subnet4, gateways.get(4)),
    gateway6: gatewayOf(subnet6, gateways.get(6)),
    range4: rangeOf(subnet4, ranges),
  };
}

/** As many as can be told apart, one of each family. */
function byFamily<T extends { readonly family: 4 | 6 }>(
  flag: string,
  texts: readonly string[],
  parse: (text: string) => T,
): Map<4 | 6, T> {
  const found = new Map<4 | 6, T>();
  for (const text of texts) {
    const one = parse(text);
    if (found.has(one.family)) {
      throw invalid(
        "bad-subnet",
        `${flag} was given twice for IPv${one.family}`,
        "a network has one subnet of each family",
      );
    }
    found.set(one.family, one);
  }
  return found;
}

function parseSubnet(text: string): Cidr {
  const subnet = /\//.test(text) ? parseCidr(text) : undefined;
  if (subnet === undefined) {
    const around = subnetAround(text);
    if (around === undefined) throw badSubnet(text, "it is no subnet");
    throw badSubnet(text, "it has bits beyond its prefix", `did you mean ${formatCidr(around)}?`);
  }
  const { family, prefix } = subnet;
  if (family === 6 && prefix !== PREFIX_6)
    throw badSubnet(text, "guests need a /64 of IPv6", "write it as fd12:3456:789a::/64");
  if (family === 4 && (prefix < LEAST_PREFIX || prefix > MOST_PREFIX)) {
    throw badSubnet(text, `its prefix is not within /${LEAST_PREFIX} to /${MOST_PREFIX}`);
  }
  return subnet;
}

/** What an address with a prefix lies in. */
function subnetAround(text: string): Cidr | undefined {
  const [host = "", prefix = ""] = text.split("/");
  const address = parseAddress(host);
  const bits = address?.family === 4 ? 32 : 128;
  if (address === undefined || !/^\d{1,3}$/.test(prefix) || Number(prefix) > bits) return undefined;
  const rest = BigInt(bits - Number(prefix));
  return { family: address.family, first: (address.value >> rest) << rest, prefix: Number(prefix) };
}

function parseGateway(text: string) {
  return must(
    parseAddress(text),
    invalid(
      "bad-gateway",
      `"${text}" is no address of a gateway`,
      "write an address in the network's subnet",
    ),
  );
}

function requireFree(subnet: Cidr, occupied: readonly Occupied[]): void {
  const other = occupied.find(({ range }) => overlaps(range, subnet));
  if (other === undefined) return;
  const [mine, its] = [formatCidr(subnet), formatCidr(other.range)];
  throw new KilnError(Code.AlreadyExists, `subnet ${mine} overlaps with ${its}, ${other.by}`, {
    reason: "subnet-overlaps",
    hint: "give another with --subnet, or none: one is chosen then",
    details: { overlaps: its },
  });
}

/** Where chance had another network's, it is the user's to choose. */
function ownUla(id: string, occupied: readonly Occupied[]): Cidr {
  const subnet = must(parseCidr(ulaFor(id)));
  requireFree(subnet, occupied);
  return subnet;
}

function firstFree(pools: readonly Cidr[], occupied: readonly Occupied[]): Cidr {
  for (const pool of pools) {
    const prefix = Math.max(POOL_PREFIX, pool.prefix);
    let next = pool.first;
    while (next <= lastOf(pool)) {
      const candidate: Cidr = { family: 4, first: next, prefix };
      const other = occupied.find(({ range }) => overlaps(range, candidate));
      if (other === undefined) return candidate;
      // Past all of what is in the way, however large that is.
      const size = sizeOf(candidate);
      const past = lastOf(other.range) + 1n;
      next = past > next + size ? past + ((size - (past % size)) % size) : next + size;
    }
  }
  throw new KilnError(Code.ResourceExhausted, `no subnet is free in ${pools.map(formatCidr).join(", ")}`, {
    reason: "no-free-subnet",
    hint: "give one with --subnet, remove networks with `kiln network prune`, or set network-pool of kilnd",
  });
}

function gatewayOf(
  subnet: Cidr | undefined,
  wanted: { readonly family: 4 | 6; readonly value: bigint } | undefined,
): string {
  if (subnet === undefined) {
    if (wanted === undefined) return "";
    throw badGateway(wanted, "the network has no subnet of its family");
  }
  const { family } = subnet;
  const address = wanted ?? { family, value: subnet.first + 1n };
  if (!contains(subnet, address)) throw badGateway(address, `it is not in ${formatCidr(subnet)}`);
  if (!isHost(subnet, address.value))
    throw badGateway(address, `it is the first or last of ${formatCidr(subnet)}, which is nobody's`);
  return formatAddress(address);
}

function rangeOf(subnet4: Cidr | undefined, ranges: ReadonlyMap<4 | 6, Cidr>): string {
  if (ranges.has(6))
    throw badRange(textOf(ranges.get(6)), "only addresses of IPv4 are chosen from a part of their subnet");
  const range = ranges.get(4);
  if (range === undefined) return "";
  if (
    subnet4 === undefined ||
    !contains(subnet4, { family: 4, value: range.first }) ||
    range.prefix < subnet4.prefix
  ) {
    throw badRange(formatCidr(range), `it is not in the network's subnet ${textOf(subnet4)}`);
  }
  return formatCidr(range);
}

/** Whether an address of a subnet may be somebody's: not its first, nor of IPv4 its last. */
export function isHost(subnet: Cidr, value: bigint): boolean {
  return value !== subnet.first && (subnet.family === 6 || value !== lastOf(subnet));
}

function textOf(cidr: Cidr | undefined): string {
  return cidr === undefined ? "" : formatCidr(cidr);
}

function badSubnet(text: string, why: string, hint = "write it as 10.89.7.0/24"): KilnError {
  return invalid("bad-subnet", `"${text}" can't be a network's subnet: ${why}`, hint);
}

function badGateway(address: { readonly family: 4 | 6; readonly value: bigint }, why: string): KilnError {
  const text = formatAddress(address);
  return invalid(
    "bad-gateway",
    `${text} can't be the gateway: ${why}`,
    "leave --gateway out for the first address",
  );
}

function badRange(text: string, why: string): KilnError {
  return invalid(
    "bad-ip-range",
    `"${text}" can't be an --ip-range: ${why}`,
    "write a part of the subnet, as 10.89.7.128/25",
  );
}

function invalid(reason: string, message: string, hint: string): KilnError {
  return new KilnError(Code.InvalidArgument, message, { reason, hint });
}

function must<T>(
  value: T | undefined,
  error = new KilnError(Code.Internal, "no range", { reason: "bad-plan" }),
): T {
  if (value === undefined) throw error;
  return value;
}
