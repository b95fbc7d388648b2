// The flags of `run` and `create` that are about networks.

import { formatNetworkAsk, type NetworkAsk, parseNetworkFlag } from "../base/network-flag.js";
import type { VmOptions } from "../sdk/index.js";
import { type FlagValues, list, text } from "./flags.js";
import { usageError } from "./usage-error.js";

export const dnsFlags = {
  dns: list("ADDRESS", "Name server for the guest, instead of the host's"),
  "dns-opt": list("OPTION", "", { hidden: true }),
  "dns-option": list("OPTION", "Option of the guest's resolv.conf, instead of the host's: ndots:2"),
  "dns-search": list("DOMAIN", "Domain to look for names in, instead of the host's; . for none"),
} as const;

export const egressFlag = text(
  "POLICY",
  "What of the world outside the VM may reach: all, none, or [dns,]CIDR[:PORT[/PROTO]],...",
  { fallback: "all" },
);

export const addressFlags = {
  ip: text("ADDRESS", "IPv4 address on the network that --network names"),
  ip6: text("ADDRESS", "IPv6 address on that network"),
} as const;

export const macFlag = text("ADDRESS", "MAC address of the VM's card on that network");

export const networkFlags = {
  net: list("NETWORK", "", { hidden: true, complete: "network-flag" }),
  network: list("NETWORK", "Network of the VM: user, none, NAME[:ip=,ip6=,mac=,alias=], or cni:NAME", {
    fallback: "user",
    complete: "network-flag",
  }),
  "network-alias": list("NAME", "Name by which others on that network find the VM, beside its own"),
} as const;

export const publishModeFlag = text(
  "MODE",
  "How ports are published: kilnd dials into the VM, or rules of root's nft lead to its card as well",
  { choices: ["dial", "nft"], fallback: "dial" },
);

type NetworkFlagValues = FlagValues<typeof dnsFlags & typeof addressFlags & typeof networkFlags> & {
  readonly egress: string | undefined;
  readonly "mac-address": string | undefined;
  readonly "publish-mode": string | undefined;
};

/** @throws KilnError invalid_argument */
export function networkOptions(verb: string, flags: NetworkFlagValues): Partial<VmOptions> {
  const asks = [...flags.network, ...flags.net].map(parseNetworkFlag);
  const modes = asks.filter((ask) => typeof ask === "string");
  const named = asks.filter((ask) => typeof ask !== "string");
  if (modes.includes("none") && (named.length > 0 || modes.includes("user"))) {
    throw usageError(verb, "--network none excludes all others");
  }
  const networks = withWords(verb, named, flags).map(formatNetworkAsk);
  const options = [...flags["dns-option"], ...flags["dns-opt"]];
  return {
    network: modes[0],
    networks: networks.length === 0 ? undefined : networks,
    egress: flags.egress,
    dns: flags.dns,
    dnsSearch: flags["dns-search"].length === 0 ? undefined : flags["dns-search"],
    dnsOptions: options.length === 0 ? undefined : options,
    publishMode: flags["publish-mode"] as VmOptions["publishMode"],
  };
}

/** Docker's flags for addresses say of which network where there is one. */
function withWords(
  verb: string,
  named: readonly NetworkAsk[],
  flags: NetworkFlagValues,
): readonly NetworkAsk[] {
  const { ip, ip6, "mac-address": mac, "network-alias": aliases } = flags;
  const given = [ip, ip6, mac, aliases[0]].some((word) => word !== undefined);
  if (!given) return named;
  const [one, more] = named;
  if (one === undefined || more !== undefined) {
    const which = one === undefined ? "a network that --network names" : "one network";
    const hint = "write --network NAME:ip=ADDRESS,mac=ADDRESS,alias=NAME";
    throw usageError(verb, `--ip, --ip6, --mac-address and --network-alias go with ${which}`, hint);
  }
  const all = { ...one, aliases: [...one.aliases, ...aliases] };
  return [{ ...all, ip: ip ?? one.ip, ip6: ip6 ?? one.ip6, mac: mac ?? one.mac }];
}
