// What of a network and a card becomes part of rules and files, looked at once more where it does: a record may have been
// changed by hand, or be half of one.

import { parseAddress, parseCidr } from "../../base/cidr.js";
import { Code, KilnError } from "../../base/errors.js";
import { isValidName } from "../../base/ids.js";
import type { NetworkSpec } from "../../base/networks.js";
import { MAX_CARDS } from "../../base/networks.js";
import type { NetworkCard } from "../types.js";

const ID = /^[0-9a-f]{64}$/;
const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;

/** @throws KilnError failed_precondition `bad-network` */
export function assertPlainNetwork(spec: NetworkSpec): void {
  const wrong = wrongOfNetwork(spec);
  if (wrong !== undefined) throw bad(`network ${JSON.stringify(spec.name)}`, wrong);
}

/** @throws KilnError failed_precondition `bad-network` */
export function assertPlainCard(card: NetworkCard): void {
  const wrong = wrongOfCard(card);
  if (wrong !== undefined) throw bad(`the card of VM ${JSON.stringify(card.vmName)}`, wrong);
}

function wrongOfNetwork({ id, name, mtu, ...spec }: NetworkSpec): string | undefined {
  if (!ID.test(id)) return "its id is none";
  if (!isValidName(name)) return "its name is none";
  if (!Number.isInteger(mtu) || mtu < 1280 || mtu > 65_520) return `its MTU is ${mtu}`;
  for (const family of [4, 6] as const) {
    const subnet = family === 4 ? spec.subnet4 : spec.subnet6;
    const gateway = family === 4 ? spec.gateway4 : spec.gateway6;
    if (subnet === undefined && gateway === undefined) continue;
    if (parseCidr(subnet ?? "")?.family !== family) return `${subnet} is no subnet of IPv${family}`;
    if (parseAddress(gateway ?? "")?.family !== family) return `${gateway} is no gateway of IPv${family}`;
  }
  return undefined;
}

function wrongOfCard({ vmId, vmName, index, mac, ip4, ip6, aliases }: NetworkCard): string | undefined {
  if (!ID.test(vmId)) return "its id is none";
  const name = [vmName, ...aliases].find((one) => !isValidName(one));
  if (name !== undefined) return `${JSON.stringify(name)} is no name`;
  if (!Number.isInteger(index) || index < 0 || index >= MAX_CARDS) return `it is number ${index}`;
  if (!MAC.test(mac) || (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1)
    return `${mac} is no address of a card`;
  if (ip4 !== undefined && parseAddress(ip4)?.family !== 4) return `${ip4} is no IPv4 address`;
  if (ip6 !== undefined && parseAddress(ip6)?.family !== 6) return `${ip6} is no IPv6 address`;
  return undefined;
}

function bad(what: string, why: string): KilnError {
  return new KilnError(Code.FailedPrecondition, `use ${what}: ${why}`, { reason: "bad-network" });
}
