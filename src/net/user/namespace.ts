// The card of a VM whose VMM knows taps only (Firecracker): in the VM's own network namespace its tap and slirp4netns' hang on
// one bridge. The guest sees the same 10.0.2.0/24 as behind passt.

import type { TapCard } from "../types.js";

/** slirp4netns' tap. */
export const SLIRP_TAP = "slirp0";
/** What slirp4netns carries. */
export const SLIRP_MTU = 1500;

export function tapCard(): TapCard {
  return {
    ...{ kind: "tap", on: "user", name: "tap0", peer: SLIRP_TAP, mtu: SLIRP_MTU },
    ...{ make: [`ip tuntap add dev ${SLIRP_TAP} mode tap`], within: [] },
  };
}
