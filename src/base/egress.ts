// What a VM may reach outside of its own networks, as people write it: `--egress all|none|[dns,]CIDR[:PORT[/PROTO]],…`.

import { type Cidr, contains, formatCidr, type IpAddress, parseCidr } from "./cidr.js";
import { Code, KilnError } from "./errors.js";
import type { PortProtocol } from "./ports.js";

/** One range of addresses, with one range of ports of one protocol or all protocols and ports. */
export interface EgressRule {
  readonly to: Cidr;
  readonly ports?: EgressPorts | undefined;
}

export interface EgressPorts {
  readonly first: number;
  readonly last: number;
  /** Both where it is absent. */
  readonly protocol?: PortProtocol | undefined;
}

/**
 * `list`: nothing but the rules. `dns`: also names of outside, by the network's own resolver. What no policy opens: the
 * host's loopback, link-local addresses with the metadata services, other networks of kiln's.
 */
export type EgressPolicy =
  | { readonly kind: "all" }
  | { readonly kind: "none" }
  | { readonly kind: "list"; readonly dns: boolean; readonly rules: readonly EgressRule[] };

export const MAX_EGRESS_RULES = 64;

/** ::ffff:0:0/96 */
const MAPPED: Cidr = { family: 6, first: 0xffff_0000_0000n, prefix: 96 };

const HINT =
  "write all, none, or a list such as dns,10.1.0.0/16,192.0.2.7:443/tcp,[2001:db8::]/32:8000-8010 (ports of IPv6 follow brackets)";

/**
 * "" is "all".
 *
 * @throws KilnError invalid_argument `bad-egress`
 */
export function parseEgress(text: string): EgressPolicy {
  const words = text.split(",").map((word) => word.trim());
  const [only = ""] = words;
  if (words.length === 1 && (only === "" || only === "all")) return { kind: "all" };
  if (words.length === 1 && only === "none") return { kind: "none" };
  if (words.length > MAX_EGRESS_RULES) throw badEgress(text, `it has more than ${MAX_EGRESS_RULES} rules`);
  const rules = words.filter((word) => word !== "dns").map((word) => parseRule(text, word));
  return { kind: "list", dns: words.includes("dns"), rules };
}

/** Whether names of outside are resolved by the network's own resolver. */
export function resolvesNames(policy: EgressPolicy): boolean {
  return policy.kind === "all" || (policy.kind === "list" && policy.dns);
}

/** Whether it opens that port of an address, of what is not closed to all. */
export function opens(
  policy: EgressPolicy,
  address: IpAddress,
  protocol: PortProtocol,
  port: number,
): boolean {
  if (policy.kind !== "list") return policy.kind === "all";
  return policy.rules.some(({ to, ports }) => {
    if (!contains(to, address)) return false;
    if (ports === undefined) return true;
    return port >= ports.first && port <= ports.last && (ports.protocol ?? protocol) === protocol;
  });
}

/** Whether it matters to it by which port something is reached. */
export function opensPorts(policy: EgressPolicy): boolean {
  return policy.kind === "list" && policy.rules.some(({ ports }) => ports !== undefined);
}

/** As `parseEgress` takes it: what is kept and shown. */
export function formatEgress(policy: EgressPolicy): string {
  if (policy.kind !== "list") return policy.kind;
  return [...(policy.dns ? ["dns"] : []), ...policy.rules.map(formatRule)].join(",");
}

function parseRule(text: string, word: string): EgressRule {
  if (word === "all" || word === "none") throw badEgress(text, `${word} stands alone`);
  const { range, ports } = splitPorts(word);
  const to = parseCidr(range);
  if (to === undefined) throw badEgress(text, `"${word}" is no range of addresses${bitsHint(range)}`);
  // No packet has such a destination.
  if (contains(MAPPED, { family: to.family, value: to.first }))
    throw badEgress(text, `"${word}" is IPv4 in the dress of IPv6`);
  return ports === undefined ? { to } : { to, ports: parsePorts(text, ports) };
}

/** "10.0.0.0/8:443/tcp", "[fd00::]/8:443", "[fd00::1]:443", and without brackets where no port follows. */
function splitPorts(word: string): { range: string; ports: string | undefined } {
  const bracketed = /^\[([^\]]+)\](\/[0-9]+)?(?::(.*))?$/.exec(word);
  if (bracketed !== null) {
    return { range: `${bracketed[1]}${bracketed[2] ?? ""}`, ports: bracketed[3] };
  }
  const colon = word.indexOf(":");
  const isV6 = colon !== word.lastIndexOf(":");
  if (colon < 0 || isV6) return { range: word, ports: undefined };
  return { range: word.slice(0, colon), ports: word.slice(colon + 1) };
}

function parsePorts(text: string, words: string): EgressPorts {
  const match = /^([0-9]{1,5})(?:-([0-9]{1,5}))?(?:\/(tcp|udp))?$/.exec(words);
  if (match === null) throw badEgress(text, `"${words}" is no PORT[-PORT][/tcp|/udp]`);
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  if (first < 1 || last > 65535 || first > last) throw badEgress(text, `"${words}" is no range of ports`);
  const protocol = match[3] as PortProtocol | undefined;
  return protocol === undefined ? { first, last } : { first, last, protocol };
}

function formatRule({ to, ports }: EgressRule): string {
  const range = formatCidr(to);
  if (ports === undefined) return range;
  const { first, last, protocol } = ports;
  const words = `${first}${last === first ? "" : `-${last}`}${protocol === undefined ? "" : `/${protocol}`}`;
  return to.family === 4 ? `${range}:${words}` : `${range.replace(/^(.*)\//, "[$1]/")}:${words}`;
}

function bitsHint(range: string): string {
  const address = range.split("/")[0] ?? "";
  return parseCidr(address) !== undefined && /\/[0-9]{1,3}$/.test(range)
    ? ": it has bits beyond its prefix"
    : "";
}

/**
 * What somebody has said, as opposed to a record of nothing said: a caller whose variable is not set means to close something.
 *
 * @throws KilnError invalid_argument `bad-egress` where it is empty
 */
export function requireEgressWords(text: string): string {
  if (text.trim() === "") throw badEgress(text, "it says nothing; `all` is what opens everything");
  return text;
}

function badEgress(text: string, why: string): KilnError {
  return new KilnError(Code.InvalidArgument, `egress policy "${text.slice(0, 200)}": ${why}`, {
    reason: "bad-egress",
    hint: HINT,
  });
}
