// A network's names and leases: what its dnsmasq reads. Pure.

import { parseCidr } from "../../base/cidr.js";
import { shortId } from "../../base/ids.js";
import { bridgeName, type NetworkSpec } from "../../base/networks.js";
import type { NetworkCard } from "../types.js";
import { CLOSED_DNS_PORT } from "./plan-rules.js";

/** Where dnsmasq sees the directory of its files. */
export const FILES = "/kiln";
/** open: forwards what it does not know, and gives leases. closed: knows its network's names and nothing else. */
export type NamesKind = "open" | "closed";

export function planConfiguration(spec: NetworkSpec, kind: NamesKind): string {
  const bridge = bridgeName(spec.id);
  const common = [
    `interface=${bridge}`,
    "except-interface=lo",
    "bind-interfaces",
    "no-hosts",
    `addn-hosts=${FILES}/hosts`,
    "domain-needed",
    "cache-size=1000",
    "dns-forward-max=150",
    // A name that comes or goes is told at once.
    "local-ttl=0",
    "log-facility=-",
    "user=root",
    "pid-file=",
  ];
  const forwards = kind === "open" && !spec.internal && !spec.dnsDisabled;
  const upstream = forwards ? [`resolv-file=${FILES}/resolv.conf`] : ["no-resolv"];
  if (kind === "closed") return text([...common, ...upstream, `port=${CLOSED_DNS_PORT}`]);
  return text([...common, ...upstream, ...(spec.dnsDisabled ? ["port=0"] : []), ...leases(spec, bridge)]);
}

/** For guests that ask; each has the address that is its own, and whoever is not known gets none. */
function leases(spec: NetworkSpec, bridge: string): string[] {
  const { subnet4, subnet6, internal, mtu } = spec;
  const [range4, range6] = [parseCidr(subnet4 ?? ""), parseCidr(subnet6 ?? "")];
  const network6 = subnet6?.replace(/\/.*/, "");
  return [
    "dhcp-authoritative",
    "dhcp-ignore=tag:!known",
    // A guest names itself in nobody's DNS.
    "dhcp-ignore-names",
    `dhcp-hostsfile=${FILES}/leases`,
    // Leases are what the file says: nothing is kept, and nobody is asked whether an address is free.
    "leasefile-ro",
    "no-ping",
    // An answer to one that has no address yet would need the right to set up the host's network.
    "dhcp-broadcast",
    "quiet-dhcp",
    "quiet-dhcp6",
    "quiet-ra",
    `dhcp-option=option:mtu,${mtu}`,
    ...(range4 === undefined
      ? []
      : [`dhcp-range=${subnet4?.replace(/\/.*/, "")},static,${netmask(range4.prefix)},12h`]),
    ...(internal ? ["dhcp-option=option:router"] : []),
    ...(range6 === undefined
      ? []
      : [
          `dhcp-range=${network6},static,${range6.prefix},12h`,
          "enable-ra",
          `ra-param=${bridge},mtu:${mtu},${internal ? "0,0" : "60,1800"}`,
        ]),
  ];
}

/** Every name of every card, for A, AAAA and PTR: the first of a line is what its address is called. */
export function planHosts(spec: NetworkSpec, cards: readonly NetworkCard[]): string {
  return text(
    cards.flatMap(({ vmId, vmName, aliases, ip4, ip6 }) => {
      const names = [...new Set([vmName, ...aliases, shortId(vmId)])];
      const all = [
        `${vmName}.${spec.name}`,
        ...names,
        ...names.slice(1).map((name) => `${name}.${spec.name}`),
      ];
      return [ip4, ip6].flatMap((address) => (address === undefined ? [] : [`${address} ${all.join(" ")}`]));
    }),
  );
}

export function planLeases(cards: readonly NetworkCard[]): string {
  return text(
    cards.map(({ mac, ip4, ip6 }) =>
      [mac, ...(ip4 === undefined ? [] : [ip4]), ...(ip6 === undefined ? [] : [`[${ip6}]`]), "12h"].join(","),
    ),
  );
}

/** @param servers whom names of outside are asked of */
export function planResolvConf(servers: readonly string[]): string {
  return text(servers.map((server) => `nameserver ${server}`));
}

function netmask(prefix: number): string {
  const value = prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0;
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join(".");
}

function text(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}
