// How a VMM comes by the tap of a card: kiln-tap makes it where the network is, and becomes the VMM. Pure.

import { opensPorts } from "../../base/egress.js";
import { bridgeName, type NetworkSpec, tapName } from "../../base/networks.js";
import type { DescriptorCard, NetworkCard } from "../types.js";
import type { BridgePrograms, Place } from "./place.js";

/** @param rules the file of the card's rules (`planCard`), which it loads */
export function descriptorCard(
  programs: BridgePrograms,
  place: Place,
  rules: string,
  spec: NetworkSpec,
  card: NetworkCard,
): DescriptorCard {
  const words = [...planTap(programs, place, rules), ...planPort(spec, card)];
  return { kind: "descriptor", around: (argv, fd) => [...words, "--at", String(fd), "--", ...argv] };
}

function planTap({ tap, nft }: BridgePrograms, { holder }: Place, rules: string): string[] {
  return [tap, ...(holder === undefined ? [] : ["--enter", String(holder)]), "--nft", nft, "--rules", rules];
}

function planPort(spec: NetworkSpec, { vmId, index, egress }: NetworkCard): string[] {
  return [
    ...["--tap", tapName(vmId, index), "--bridge", bridgeName(spec.id), "--mtu", String(spec.mtu)],
    ...(spec.isolated ? ["--isolated"] : []),
    // Where a policy knows ports, nobody may have the kernel write over one once it has passed.
    ...(opensPorts(egress) ? ["--bare"] : []),
  ];
}
