// What no guest reaches on any network, whatever its policy: loopback, link-local addresses, and clouds' metadata services, which give a
// host its credentials. agent/netguard has the same for the user network. Pure.

import { contains, formatCidr, type IpAddress, parseCidr } from "../base/cidr.js";

/** Alibaba's, Azure's (its resolver too) and Oracle's; all others' are link-local. */
export const CLOSED_4: readonly string[] = [
  ...["127.0.0.0/8", "169.254.0.0/16"],
  ...["100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32"],
];

/** Of IPv6, Amazon's (metadata, and credentials of pods), Google's and Oracle's. */
const METADATA_6 = ["fd00:ec2::254/128", "fd00:ec2::23/128", "fd20:ce::254/128", "fd00:c1::a9fe:a9fe/128"];

/** Where an address of IPv4 is inside one of IPv6, and how many bits stand before it: the old compatible form, NAT64 (RFC 6052), 6to4. */
const AROUND_4: readonly (readonly [prefix: bigint, bits: number])[] = [
  [0n, 96],
  [0x64_ff9b_0000_0000_0000_0000n, 96],
  [0x2002n, 16],
];

/** No element lies within another, and none of an earlier release's goes: sets of networks that are up get these as well. */
export const CLOSED_6: readonly string[] = [
  ...["::1/128", "fe80::/10", "::ffff:0:0/96"],
  ...METADATA_6,
  ...AROUND_4.flatMap(([before, bits]) => CLOSED_4.map((range) => around(range, before, bits))),
];

function around(range: string, before: bigint, bits: number): string {
  const { first, prefix } = parseCidr(range) ?? { first: 0n, prefix: 0 };
  const value = ((before << 32n) | first) << BigInt(96 - bits);
  return formatCidr({ family: 6, first: value, prefix: bits + prefix });
}

export function isClosed(address: IpAddress): boolean {
  return [...CLOSED_4, ...CLOSED_6].some((text) => {
    const range = parseCidr(text);
    return range !== undefined && contains(range, address);
  });
}
