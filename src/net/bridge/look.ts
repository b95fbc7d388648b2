// Whether this host can have named networks, and what else on it gets in their way.

import { access, constants } from "node:fs/promises";
import { dirname, join } from "node:path";
import * as v from "valibot";
import { contains, parseCidr } from "../../base/cidr.js";
import { findProgram } from "../../base/programs.js";
import type { BridgeVerdict, TakenRange } from "../types.js";
import type { BridgePrograms } from "./place.js";
import { runProgram } from "./run-program.js";

const TUN = "/dev/net/tun";
/** Of Debian: the program, and what brings it. */
const NEEDED = { ip: "iproute2", nft: "nftables", dnsmasq: "dnsmasq-base", bwrap: "bubblewrap" } as const;

export interface ProgramNames {
  /** kiln's own, by its path. */
  readonly tap: string;
  readonly lease: string;
  readonly bwrap?: string | undefined;
}

/** What is there, or why it is not enough. */
export async function findPrograms(names: ProgramNames): Promise<BridgePrograms | string> {
  const found = await Promise.all(
    Object.keys(NEEDED).map((name) => findProgram(name === "bwrap" ? (names.bwrap ?? name) : name)),
  );
  const missing = Object.values(NEEDED).filter((_, at) => found[at] === undefined);
  const [ip = "", nft = "", dnsmasq = "", bwrap = ""] = found;
  if (missing.length > 0) return `${missing.join(", ")} ${missing.length === 1 ? "is" : "are"} not installed`;
  return { ip, nft, dnsmasq, bwrap, tap: names.tap, lease: names.lease };
}

export interface FoundPasst {
  readonly program: string | undefined;
  /** Why there is none that may be used, where there is none. */
  readonly why: string;
}

/** Why an ordinary user can't have them; undefined where one can. */
export async function refusalForUser({ program, why }: FoundPasst): Promise<string | undefined> {
  try {
    await access(TUN, constants.R_OK | constants.W_OK);
  } catch {
    return `${TUN} is not this user's to open (udev's default is 0666): ask root for \`chmod 666 ${TUN}\``;
  }
  // It is one program with pasta, the way out of a user's networks.
  if (program === undefined) return why;
  const pasta = join(dirname(program), "pasta");
  return (await findProgram(pasta)) === undefined ? `there is no ${pasta}` : undefined;
}

export function verdict(
  programs: BridgePrograms | string,
  refusal: string | undefined,
  warnings: readonly string[],
): BridgeVerdict {
  if (typeof programs === "string")
    return { usable: false, why: `no named networks: ${programs}`, warnings: [] };
  if (refusal !== undefined) return { usable: false, why: `no named networks: ${refusal}`, warnings: [] };
  return { usable: true, why: `named networks by ${programs.nft} and ${programs.dnsmasq}`, warnings };
}

const ChainsSchema = v.object({
  nftables: v.array(
    v.looseObject({
      chain: v.optional(
        v.looseObject({
          ...{ family: v.string(), table: v.string(), name: v.string() },
          ...{ hook: v.optional(v.string()), policy: v.optional(v.string()) },
        }),
      ),
      rule: v.optional(
        v.looseObject({
          family: v.string(),
          table: v.string(),
          chain: v.string(),
          expr: v.array(v.unknown()),
        }),
      ),
    }),
  ),
});

/** What a packet of networks is on its way to where a chain of that hook is passed. */
const OF_HOOKS: Readonly<Record<string, string>> = {
  prerouting: "all that comes from their VMs",
  forward: "networks' way out and in",
  input: "their names and addresses by DHCP",
  output: "what their resolvers and published ports say",
  postrouting: "all that leaves the host for their VMs",
};

/** Rules of others: each of them has to let a packet through, whatever ours say. @param text of `nft -j list ruleset` */
export function warningsOf(text: string): string[] {
  const parsed = v.safeParse(ChainsSchema, JSON.parse(text));
  if (!parsed.success) return [];
  const items = parsed.output.nftables;
  return items.flatMap(({ chain }) => {
    if (chain?.hook === undefined || chain.table.startsWith("kiln_")) return [];
    const does = OF_HOOKS[chain.hook];
    if (does === undefined) return [];
    const last = items.flatMap(({ rule }) =>
      rule?.table === chain.table && rule.family === chain.family && rule.chain === chain.name ? [rule] : [],
    );
    const ends = isRefusal(last.at(-1)?.expr);
    if (chain.policy !== "drop" && !ends) return [];
    const how = chain.policy === "drop" ? "drops what it does not name" : "refuses what it does not name";
    return [
      `${whoseIs(chain.table, chain.name)} (nft table ${chain.family} ${chain.table}, chain ${chain.name}) ${how}: ${does} may be closed`,
    ];
  });
}

/** A last rule without a condition. */
function isRefusal(expr: readonly unknown[] | undefined): boolean {
  const [only, ...rest] = (expr ?? []).filter((it) => !isOf(it, "counter"));
  return rest.length === 0 && (isOf(only, "drop") || isOf(only, "reject"));
}

function isOf(value: unknown, key: string): boolean {
  return typeof value === "object" && value !== null && key in value;
}

function whoseIs(table: string, chain: string): string {
  if (table === "firewalld") return "firewalld";
  if (table === "filter" && chain === "FORWARD")
    return "the firewall of iptables (Docker's, where it is installed)";
  return "a firewall";
}

const RoutesSchema = v.array(
  v.looseObject({ dst: v.string(), dev: v.optional(v.string()), type: v.optional(v.string()) }),
);
/** What is told of a tunnel that takes everything is no range: it takes what no other route does. */
const WIDEST = 2;

/** Of the host: its routes and its own addresses, without those that everything goes by. */
export async function takenRanges(ip: string): Promise<TakenRange[]> {
  const texts = await Promise.all(
    ["-4", "-6"].map((family) =>
      runProgram("look at the host's routes", [ip, family, "-j", "route", "show", "table", "all"]),
    ),
  );
  return texts.flatMap(parseRoutes);
}

/** @param text of `ip -j route show table all` */
export function parseRoutes(text: string): TakenRange[] {
  if (text.trim() === "") return [];
  const routes = v.parse(RoutesSchema, JSON.parse(text));
  return routes.flatMap(({ dst, dev, type }) => {
    if (type === "broadcast" || type === "multicast" || type === "anycast" || dst === "default") return [];
    const range = parseCidr(dst);
    const isOfLinks =
      range !== undefined &&
      LINKS_ONLY.some((own) => contains(own, { family: range.family, value: range.first }));
    if (range === undefined || range.prefix < WIDEST || isOfLinks) return [];
    return [{ destination: dst, device: dev ?? type ?? "" }];
  });
}

const LINKS_ONLY = ["fe80::/10", "ff00::/8", "::1"].flatMap((text) => parseCidr(text) ?? []);
