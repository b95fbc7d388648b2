// What a card was given: by the plugins' results and by what they have made, and whether it is what was asked for.

import { parseAddress } from "../../base/cidr.js";
import { Code, KilnError } from "../../base/errors.js";
import { findProgram } from "../../base/programs.js";
import type { JsonObject } from "../../base/versioned.js";
import type { CniCard, CniJoined } from "../types.js";
import type { CniLink } from "./inside.js";
import { resultOf } from "./result.js";

/** Of the host. */
export interface CniPrograms {
  readonly ip: string;
  readonly tc: string;
}

/** @throws KilnError failed_precondition `no-cni` */
export async function programs(): Promise<CniPrograms> {
  const [ip, tc] = await Promise.all(["ip", "tc"].map((name) => findProgram(name)));
  if (ip !== undefined && tc !== undefined) return { ip, tc };
  throw new KilnError(Code.FailedPrecondition, "CNI networks need iproute2's ip and tc", {
    reason: "no-cni",
    hint: "install iproute2",
  });
}

/** Those that a VM's owner asked for. */
export function ipsOf({ ip, ip6 }: CniCard): string[] {
  return [ip, ip6].filter((address) => address !== "");
}

/** Without its tap. @param others whom a guest asks for names of whose network no plugin says so */
export function joinedOf(
  link: CniLink,
  result: JsonObject,
  others: readonly string[],
): Omit<CniJoined, "card"> {
  const { dns } = resultOf(result);
  const search = dns.domain === "" ? dns.search : [dns.domain, ...dns.search];
  const servers = dns.nameservers.length > 0 ? dns.nameservers : others;
  return { ...link, dns: { servers, search: [...new Set(search)], options: dns.options } };
}

/** Most plugins say nothing of what they do not know. @throws KilnError failed_precondition `cni-address-not-given` */
export function requireGiven(card: CniCard, link: CniLink): void {
  const has = link.addresses.map((address) => parseAddress(address.split("/")[0] ?? "")?.value);
  const missing = ipsOf(card).filter((ip) => !has.includes(parseAddress(ip)?.value));
  if (card.mac !== "" && card.mac !== link.mac) missing.push(card.mac);
  if (missing.length === 0) return;
  const what = `CNI network ${card.network} gave the VM ${[...link.addresses, link.mac].join(", ")} and not ${missing.join(", ")}`;
  throw new KilnError(Code.FailedPrecondition, what, {
    reason: "cni-address-not-given",
    hint: "its plugins can't be asked for addresses, or not for these: leave them out",
  });
}
