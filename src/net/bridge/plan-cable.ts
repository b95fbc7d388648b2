// How a VMM that opens taps by their names comes onto a network: a cable (veth) whose one end is a port of the bridge, under the
// name and the rules that a tap would have, and whose other is in the VMM's own namespace, with which it goes. Pure.

import { bridgeName, type NetworkSpec, tapName } from "../../base/networks.js";
import type { NetworkCard, TapCard } from "../types.js";
import type { BridgePrograms, Place } from "./place.js";

/**
 * @param rules the file of the card's rules (`planCard`)
 * @param kilnd a process in the place of root's
 */
export function cableCard(
  programs: BridgePrograms,
  place: Place,
  rules: string,
  spec: NetworkSpec,
  card: NetworkCard,
  kilnd: number,
): TapCard {
  // tap0 and its like are of the user network.
  const [name, peer] = [`tap${card.index + 1}`, `port${card.index + 1}`];
  const { mtu } = spec;
  const within = place.holder === undefined ? [] : enterUser(place.holder);
  const there = `nsenter --target ${place.holder ?? kilnd} --net -- `;
  const make = planPort(programs, rules, spec, card, peer).map((line) => there + line);
  return { kind: "tap", on: "network", name, peer, mtu, make, within };
}

/** The namespace of the VMM is of the same user namespace as the place: only so somebody has the right to connect the two. */
function enterUser(holder: number): string[] {
  return ["nsenter", "--target", String(holder), "--user", "--preserve-credentials", "--"];
}

/** Lines of sh(1) for the place, by a shell that is in the other namespace: its own pid names that. */
function planPort(
  { ip, nft }: BridgePrograms,
  rules: string,
  spec: NetworkSpec,
  { vmId, index }: NetworkCard,
  peer: string,
): string[] {
  const link = tapName(vmId, index);
  const program = quoted(ip);
  return [
    // One whose VMM was just killed may be there for a moment more.
    `${program} link delete ${link} 2>/dev/null || :`,
    `${program} link add ${link} mtu ${spec.mtu} type veth peer name ${peer} mtu ${spec.mtu} netns $$`,
    // No address of its own: only its bridge speaks for the host.
    `${program} link set ${link} addrgenmode none master ${bridgeName(spec.id)}`,
    ...(spec.isolated ? [`${program} link set ${link} type bridge_slave isolated on`] : []),
    `${quoted(nft)} -f ${quoted(rules)}`,
    // Only now: until here nothing has come through.
    `${program} link set ${link} up`,
  ];
}

/** One word of sh(1). */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
