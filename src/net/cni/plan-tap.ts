// How a VMM comes by the tap of such a card: kiln-tap makes it in the card's namespace, has all frames of the plugins' link
// go into it and those of the guest out by that link, and becomes the VMM. Pure.

import type { DescriptorCard } from "../types.js";

export interface CniTap {
  /** Paths of kiln-tap and tc. */
  readonly tap: string;
  readonly tc: string;
  /** Of the namespace. */
  readonly holder: number;
  readonly name: string;
  readonly ifName: string;
  readonly mtu: number;
  /** The families of IP in which the guest is answered when it asks for its address: "", "4", "6", "46". */
  readonly answered: string;
}

export function cniDescriptorCard({ tap, tc, holder, name, ifName, mtu, answered }: CniTap): DescriptorCard {
  const words = [tap, "--enter", String(holder), "--tc", tc];
  const port = ["--tap", name, "--redirect", ifName, "--mtu", String(mtu)];
  if (answered !== "") port.push("--answered", answered);
  return {
    kind: "descriptor",
    around: (argv, fd) => [...words, ...port, "--at", String(fd), "--", ...argv],
  };
}
