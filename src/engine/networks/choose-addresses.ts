// Which addresses a VM has on a network: those it asked for where they are free, else the first free ones. Pure.

import {
  type Cidr,
  contains,
  formatAddress,
  formatCidr,
  lastOf,
  parseAddress,
  parseCidr,
} from "../../base/cidr.js";
import { Code, KilnError } from "../../base/errors.js";
import { macFor } from "../../base/networks.js";
import { isHost } from "./address-plan.js";
import type { NetworkRecord } from "./record.js";

/** Addresses of one VM on one network; "" for none. */
export interface CardAddresses {
  readonly ip: string;
  readonly ip6: string;
  readonly mac: string;
}

/** Those of another VM there. */
export interface TakenAddresses extends CardAddresses {
  /** For refusals: "VM web". */
  readonly by: string;
}

/** Where IPv6 begins where a VM has no IPv4: the first is the gateway's. */
const FIRST_6 = 2n;

/**
 * @param wanted "" for what is to be chosen
 * @throws KilnError invalid_argument `bad-ip`; already_exists `ip-in-use`, `mac-in-use`; resource_exhausted `no-free-address`
 */
export function chooseAddresses(
  network: NetworkRecord,
  vmId: string,
  wanted: CardAddresses,
  taken: readonly TakenAddresses[],
): CardAddresses {
  const subnet4 = parseCidr(network.subnet4);
  const subnet6 = parseCidr(network.subnet6);
  const ip = addressOf(network, subnet4, "ip", wanted.ip, taken);
  const host = subnet4 === undefined ? FIRST_6 : (parseAddress(ip)?.value ?? subnet4.first) - subnet4.first;
  const ip6 = addressOf(network, subnet6, "ip6", wanted.ip6, taken, host);
  return { ip, ip6, mac: macOf(network, wanted.mac || macFor(vmId, network.id), taken) };
}

function addressOf(
  network: NetworkRecord,
  subnet: Cidr | undefined,
  key: "ip" | "ip6",
  wanted: string,
  taken: readonly TakenAddresses[],
  host?: bigint,
): string {
  if (wanted !== "") return given(network, subnet, key, wanted, taken);
  if (subnet === undefined) return "";
  const gateway = key === "ip" ? network.gateway4 : network.gateway6;
  const used = new Set([gateway, ...taken.map((other) => other[key])]);
  const range = (key === "ip" ? parseCidr(network.range4) : undefined) ?? subnet;
  const isFree = (value: bigint) =>
    isHost(subnet, value) && !used.has(formatAddress({ family: subnet.family, value }));
  // The same last part in both families where that can be.
  if (host !== undefined && isFree(range.first + host))
    return formatAddress({ family: 6, value: range.first + host });
  // Of so many and their ends one is free, if any is.
  const end = range.first + BigInt(used.size) + 2n;
  for (let value = range.first; value <= lastOf(range) && value <= end; value++) {
    if (isFree(value)) return formatAddress({ family: subnet.family, value });
  }
  throw new KilnError(
    Code.ResourceExhausted,
    `network ${network.name} has no free address in ${formatCidr(range)}`,
    {
      reason: "no-free-address",
      hint: `remove VMs that are on it, or make a larger network; \`kiln network inspect ${network.name}\` shows who has which`,
    },
  );
}

function given(
  network: NetworkRecord,
  subnet: Cidr | undefined,
  key: "ip" | "ip6",
  wanted: string,
  taken: readonly TakenAddresses[],
): string {
  const address = parseAddress(wanted);
  const bad = (why: string) =>
    new KilnError(
      Code.InvalidArgument,
      `${wanted} can't be a VM's address on network ${network.name}: ${why}`,
      {
        reason: "bad-ip",
        hint: "leave it out, and one is chosen",
      },
    );
  if (subnet === undefined) throw bad(`the network has no IPv${key === "ip" ? 4 : 6}`);
  if (address === undefined || !contains(subnet, address)) throw bad(`it is not in ${formatCidr(subnet)}`);
  const text = formatAddress(address);
  if (text === network.gateway4 || text === network.gateway6) throw bad("it is the gateway's");
  if (!isHost(subnet, address.value))
    throw bad(`it is the first or last of ${formatCidr(subnet)}, which is nobody's`);
  const other = taken.find((one) => one[key] === text);
  if (other !== undefined) throw inUse("ip-in-use", `address ${text}`, network, other);
  return text;
}

function macOf(network: NetworkRecord, mac: string, taken: readonly TakenAddresses[]): string {
  const other = taken.find((one) => one.mac === mac);
  if (other !== undefined) throw inUse("mac-in-use", `MAC address ${mac}`, network, other);
  return mac;
}

function inUse(reason: string, what: string, { name }: NetworkRecord, { by }: TakenAddresses): KilnError {
  return new KilnError(Code.AlreadyExists, `${what} on network ${name} is ${by}'s`, {
    reason,
    hint: "leave it out, and one is chosen",
  });
}
