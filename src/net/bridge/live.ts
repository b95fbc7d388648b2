// A network that is up, as kilnd has it in memory: who is on it.

import { Code, KilnError } from "../../base/errors.js";
import { cardName, type NetworkSpec } from "../../base/networks.js";
import type { NetworkCard } from "../types.js";

export interface Live {
  readonly spec: NetworkSpec;
  /** By name. */
  readonly cards: Map<string, NetworkCard>;
}

export function nameOf({ vmId, index }: NetworkCard): string {
  return cardName(vmId, index);
}

export function notUp(spec: NetworkSpec): KilnError {
  return new KilnError(Code.FailedPrecondition, `network ${spec.name} is not up`, {
    reason: "network-failed",
  });
}
