// What of a VM's networks can be refused before anything is made, and its one form. Pure.

import { formatEgress, parseEgress } from "../../base/egress.js";
import { Code, KilnError } from "../../base/errors.js";
import { cniName, formatNetworkAsk, parseNetworkFlag } from "../../base/network-flag.js";
import { MAX_CARDS } from "../../base/networks.js";
import { attachmentOf, type NetworkAttachment } from "./network-config.js";
import type { VmConfig } from "./vm-config.js";

/** resolv.conf(5) and glibc: more are ignored. */
const MOST_SEARCH = 32;
const MOST_OPTIONS = 32;
const DOMAIN = /^(?:\.|(?=.{1,253}$)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?)$/;
const OPTION = /^[a-z0-9-]{1,40}(:[0-9]{1,10})?$/;

export type NetworkWords = Pick<VmConfig, "networks" | "egress" | "dnsSearch" | "dnsOptions">;

/** @throws KilnError invalid_argument `bad-*`, `network-twice`, `too-many-networks` */
export function checkNetworks(config: VmConfig): NetworkWords {
  const networks = config.networks.map(checkAttachment);
  if (networks.length > MAX_CARDS)
    throw invalid("too-many-networks", `a VM can be on at most ${MAX_CARDS} networks`);
  requireOnce(networks);
  return {
    networks,
    egress: keptEgress(config.egress),
    dnsSearch: config.dnsSearch.map(checkDomain).slice(0, MOST_SEARCH),
    dnsOptions: config.dnsOptions.map(checkOption).slice(0, MOST_OPTIONS),
  };
}

/** Each is a card of its own, with addresses of the same subnet: a guest would not know by which to answer. */
export function requireOnce(networks: readonly NetworkAttachment[]): void {
  const seen = new Set<string>();
  for (const { name, networkId } of networks) {
    const key = networkId || name;
    if (seen.has(key))
      throw invalid("network-twice", `network ${name} was named twice`, "a VM is on a network once");
    seen.add(key);
  }
}

/** @throws KilnError invalid_argument `bad-network`, `bad-ip`, `bad-mac`, `bad-alias` */
export function checkAttachment(wanted: NetworkAttachment): NetworkAttachment {
  if (/[:=,]/.test(wanted.name) && cniName(wanted.name) === undefined)
    throw invalid("bad-network", `"${wanted.name}" is no network's name`);
  const ask = parseNetworkFlag(formatNetworkAsk(wanted));
  if (typeof ask !== "string") return attachmentOf(ask);
  throw invalid("bad-network", `"${ask}" is no named network`, "say it in the VM's `network`");
}

/** "" for what is not restricted at all. */
function keptEgress(text: string): string {
  const policy = parseEgress(text);
  return policy.kind === "all" ? "" : formatEgress(policy);
}

function checkDomain(domain: string): string {
  if (DOMAIN.test(domain)) return domain;
  throw invalid("bad-dns-search", `"${domain}" is no domain to search`, "write example.com, or . for none");
}

function checkOption(option: string): string {
  if (OPTION.test(option)) return option;
  throw invalid("bad-dns-option", `"${option}" is no option of resolv.conf`, "write ndots:2, or use-vc");
}

function invalid(reason: string, message: string, hint?: string): KilnError {
  return new KilnError(Code.InvalidArgument, message, { reason, hint });
}
