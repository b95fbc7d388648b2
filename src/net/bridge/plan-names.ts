// A network's names: what its dnsmasq reads. Pure.

import { shortId } from "../../base/ids.js";
import { meansItself } from "../../base/network-flag.js";
import { bridgeName, type NetworkSpec } from "../../base/networks.js";
import type { NetworkCard } from "../types.js";
import { CLOSED_DNS_PORT } from "./plan-rules.js";

/** Where dnsmasq sees the directory of its files. */
export const FILES = "/kiln";
/** open: forwards what it does not know. closed: knows its network's names and nothing else. */
export type NamesKind = "open" | "closed";

export function planConfiguration(spec: NetworkSpec, kind: NamesKind): string {
  const bridge = bridgeName(spec.id);
  const common = [
    `interface=${bridge}`,
    "except-interface=lo",
    "bind-interfaces",
    "no-hosts",
    `addn-hosts=${FILES}/hosts`,
    `servers-file=${FILES}/own`,
    "domain-needed",
    "cache-size=1000",
    // Questions that nobody answers are kept for ten seconds: four guests that ask as fast as they may leave room for others.
    "dns-forward-max=10000",
    // A name that comes or goes is told at once.
    "local-ttl=0",
    "log-facility=-",
    "user=root",
    "pid-file=",
  ];
  const forwards = kind === "open" && !spec.internal && !spec.dnsDisabled;
  // By SIGHUP alone: to one that looks by itself a file of the same second is the same one.
  const upstream = forwards ? [`resolv-file=${FILES}/resolv.conf`, "no-poll"] : ["no-resolv"];
  if (kind === "closed") return text([...common, ...upstream, `port=${CLOSED_DNS_PORT}`]);
  return text([...common, ...upstream, ...(spec.dnsDisabled ? ["port=0"] : [])]);
}

/** Every name of every card, for A, AAAA and PTR: the first of a line is what its address is called. */
export function planHosts(spec: NetworkSpec, cards: readonly NetworkCard[]): string {
  return text(
    cards.flatMap((card) => {
      const all = namesOf(spec, card).join(" ");
      return [card.ip4, card.ip6].flatMap((address) => (address === undefined ? [] : [`${address} ${all}`]));
    }),
  );
}

/**
 * What nobody outside is asked of, whatever the question: a name of a card that has but one kind of address, and the network's
 * own range. musl fails a name whose other kind is refused, or unknown outside; and an answer from outside would go first.
 */
export function planOwn({ subnet4, subnet6, ...spec }: NetworkSpec, cards: readonly NetworkCard[]): string {
  const names = new Set(cards.flatMap((card) => namesOf(spec, card)).filter((name) => name.includes(".")));
  const ranges = [subnet4, subnet6].filter((range) => range !== undefined);
  return text([
    ...[...names].map((name) => `server=/${name}/`),
    ...ranges.map((range) => `rev-server=${range}`),
  ]);
}

function namesOf(
  { name: network }: Pick<NetworkSpec, "name">,
  { vmId, vmName, aliases }: NetworkCard,
): string[] {
  const names = [...new Set([vmName, ...aliases, shortId(vmId)])];
  const all = [`${vmName}.${network}`, ...names, ...names.slice(1).map((name) => `${name}.${network}`)];
  return all.filter((name) => !meansItself(name));
}

/** @param servers whom names of outside are asked of */
export function planResolvConf(servers: readonly string[]): string {
  return text(servers.map((server) => `nameserver ${server}`));
}

function text(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}
