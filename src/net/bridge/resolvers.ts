// Where the guests of a network ask for names.

import { defined } from "../../base/defined.js";
import type { NetworkSpec } from "../../base/networks.js";
import type { BridgeRoom } from "../types.js";

/** The bridge's own addresses, at which the network's dnsmasq answers. */
export function resolversOf(spec: NetworkSpec): ReturnType<BridgeRoom["resolversOf"]> {
  if (spec.dnsDisabled) return [];
  return Object.values(defined({ gateway4: spec.gateway4, gateway6: spec.gateway6 }));
}
