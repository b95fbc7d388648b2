// Networks of a VM, as a caller writes them.

import { requireEgressWords } from "../base/egress.js";
import { Code, KilnError } from "../base/errors.js";
import { formatNetworkAsk, parseNetworkFlag } from "../base/network-flag.js";
import type { NetworkAttachmentJson, VmConfigJson } from "../gen/kiln/v1/types_pb.js";
import { checkOptions, type NamesOf } from "./known-options.js";
import type { NetworkAttachment } from "./network-types.js";

/** What is asked of a VM's networks; names and defaults are those of `kiln run`'s flags. */
export interface NetworkOptions {
  /** The way out of its own. Default "user", but "none" where `networks` are named. */
  readonly network?: "user" | "none" | undefined;
  /** Named networks: "web", "web:ip=10.89.0.5,alias=db", or what is to be had of each. */
  readonly networks?: readonly (string | Partial<NetworkAttachment>)[] | undefined;
  /** What of the world outside it may reach: "all", "none", "dns,10.0.0.0/8,192.0.2.1:443/tcp". */
  readonly egress?: string | undefined;
  readonly dns?: readonly string[] | undefined;
  /** Domains in which short names are looked for, instead of the host's; ["."]: none. */
  readonly dnsSearch?: readonly string[] | undefined;
  /** Of resolv.conf: "ndots:2". */
  readonly dnsOptions?: readonly string[] | undefined;
  /** "dial": kilnd listens on published ports, and dials into the VM. */
  readonly publishMode?: "dial" | "nft" | undefined;
}

export const NETWORK_OPTIONS: NamesOf<NetworkOptions> = {
  ...{ network: true, networks: true, egress: true, dns: true, dnsSearch: true, dnsOptions: true },
  publishMode: true,
};

const ATTACHMENT_FIELDS: NamesOf<NetworkAttachment> = {
  ...{ network: true, networkId: true, ip: true, ip6: true, mac: true, aliases: true },
};

export function planNetworks(options: NetworkOptions): VmConfigJson {
  const { networks = [] } = options;
  const network = options.network ?? (networks.length > 0 ? "none" : undefined);
  return {
    ...(network === undefined ? {} : { network }),
    ...(networks.length === 0 ? {} : { networks: networks.map(planAttachment) }),
    ...(options.egress === undefined ? {} : { egress: requireEgressWords(options.egress) }),
    ...(options.dns === undefined ? {} : { dns: options.dns.slice() }),
    ...(options.dnsSearch === undefined ? {} : { dnsSearch: options.dnsSearch.slice() }),
    ...(options.dnsOptions === undefined ? {} : { dnsOptions: options.dnsOptions.slice() }),
    ...(options.publishMode === undefined ? {} : { publishMode: options.publishMode }),
  };
}

/** @throws KilnError invalid_argument `bad-network` and what its words may be */
export function planAttachment(wanted: string | Partial<NetworkAttachment>): NetworkAttachmentJson {
  if (typeof wanted !== "string") checkOptions("network", wanted, ATTACHMENT_FIELDS);
  const ask = parseNetworkFlag(typeof wanted === "string" ? wanted : wordsOf(wanted));
  if (typeof ask !== "string") {
    const { name, aliases, ...words } = ask;
    return { network: name, ...words, aliases: [...aliases] };
  }
  throw new KilnError(Code.InvalidArgument, `"${ask}" is no named network`, {
    reason: "bad-network",
    hint: `a VM is given ${ask} when it is made: --network ${ask}, or network: "${ask}" of the SDK; \`kiln network ls\` lists named ones`,
  });
}

function wordsOf({
  network = "",
  ip = "",
  ip6 = "",
  mac = "",
  aliases = [],
}: Partial<NetworkAttachment>): string {
  return formatNetworkAsk({ name: network, ip, ip6, mac, aliases });
}
