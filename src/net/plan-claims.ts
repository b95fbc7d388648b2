// What a guest may say is its own, or ask whether it is somebody's already: whoever asks that of an address which another machine
// is about to take has that one do without it (RFC 4862 5.4.3, RFC 5227 2.1.1). Rules for nft, of both kinds of cards. Pure.

import { parseCidr } from "../base/cidr.js";

/** Whom neighbour discovery is about. */
export const ND_TARGET = "@th,64,128";
/** The middle of the last 64 bits, of an IPv6 packet's sender and of ND_TARGET: "fffe" in an address that a MAC address gives (EUI-64). */
const [SENDER_MIDDLE, TARGET_MIDDLE] = ["@nh,152,16", "@th,152,16"];

/** ARP of Ethernet and IPv4, said by this card. */
export function ownArp(mac: string): string {
  return `ether type arp arp htype 1 arp ptype ip arp hlen 6 arp plen 4 arp operation { request, reply } arp saddr ether ${mac}`;
}

/** Asks whether somebody has its address. */
export function probes(own: readonly string[]): string {
  return `arp saddr ip 0.0.0.0 arp daddr ip { ${[...own, "169.254.0.0/16"].join(", ")} }`;
}

/**
 * For packets from link-local addresses and none. Link-local addresses are anybody's, but for those that a MAC address gives,
 * which most systems have: those are of the card with that MAC address.
 */
export function othersClaims(mac: string, own: readonly string[]): string[] {
  const link = hex128(linkLocal(mac));
  const asks = "ip6 saddr :: icmpv6 type nd-neighbor-solicit";
  const others = own.map((address) => `${ND_TARGET} != ${hex128(address)} `).join("");
  return [
    `ip6 saddr fe80::/10 ${SENDER_MIDDLE} 0xfffe ip6 saddr != ${linkLocal(mac)} goto forged`,
    ...["icmpv6 type nd-neighbor-advert", asks].map(
      (said) => `${said} ${TARGET_MIDDLE} 0xfffe ${ND_TARGET} != ${link} ${others}goto forged`,
    ),
    `${asks} @th,64,10 != 0x3fa ${others}goto forged`,
  ];
}

/** RFC 4291, appendix A. */
export function linkLocal(mac: string): string {
  const [first = 0, ...rest] = mac.split(":").map((byte) => Number.parseInt(byte, 16));
  const bytes = [first ^ 2, ...rest.slice(0, 2), 0xff, 0xfe, ...rest.slice(2)];
  const words = [0, 2, 4, 6].map((at) => (((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)).toString(16));
  return `fe80::${words.join(":")}`;
}

export function hex128(address: string): string {
  return `0x${(parseCidr(address)?.first ?? 0n).toString(16).padStart(32, "0")}`;
}
