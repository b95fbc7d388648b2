// A network that is up, as kilnd has it in memory: who is on it.

import { Code, KilnError } from "../../base/errors.js";
import { cardName, type NetworkSpec } from "../../base/networks.js";
import { formatPortMapping, type PortMapping } from "../../base/ports.js";
import type { NetworkCard } from "../types.js";

export interface Live {
  readonly spec: NetworkSpec;
  /** By name. */
  readonly cards: Map<string, NetworkCard>;
}

export function nameOf({ vmId, index }: NetworkCard): string {
  return cardName(vmId, index);
}

/** What leads to one of them by rules. @param then the port, or nothing */
export function setPort(
  { cards }: Live,
  card: NetworkCard,
  port: PortMapping,
  then: readonly PortMapping[],
): void {
  const known = cards.get(nameOf(card));
  if (known === undefined) return;
  const isOther = (one: PortMapping) => formatPortMapping(one) !== formatPortMapping(port);
  cards.set(nameOf(card), { ...known, ports: [...(known.ports ?? []).filter(isOther), ...then] });
}

export function notUp(spec: NetworkSpec): KilnError {
  return new KilnError(Code.FailedPrecondition, `network ${spec.name} is not up`, {
    reason: "network-failed",
  });
}
