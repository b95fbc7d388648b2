// How a VMM comes by the tap of such a card: kiln-tap makes it in the card's namespace, has all frames of the plugins' link
// go into it and those of the guest out by that link, and becomes the VMM. Pure.

import type { DescriptorCard } from "../types.js";
import type { LoadedRules } from "./frames.js";

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
  /** It has a policy, which knows ports. */
  readonly isHeld: boolean;
  /** What carries frames instead of tc, where this host can. */
  readonly rules: LoadedRules | undefined;
}

export function cniDescriptorCard(plan: CniTap): DescriptorCard {
  const { tap, tc, holder, name, ifName, mtu, answered, isHeld, rules } = plan;
  const by = rules === undefined ? ["--tc", tc] : ["--nft", rules.nft, "--rules", rules.file];
  const words = [tap, "--enter", String(holder), ...by];
  const port = ["--tap", name, "--redirect", ifName, "--mtu", String(mtu)];
  if (answered !== "" && rules === undefined) port.push("--answered", answered);
  if (isHeld) port.push("--bare");
  return {
    kind: "descriptor",
    around: (argv, fd) => [...words, ...port, "--at", String(fd), "--", ...argv],
  };
}
