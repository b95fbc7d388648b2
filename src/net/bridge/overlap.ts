// Ranges of addresses that a network must not have, because somebody else has them.

import { overlaps, parseCidr } from "../../base/cidr.js";
import { Code, KilnError } from "../../base/errors.js";
import { bridgeName, type NetworkSpec } from "../../base/networks.js";
import type { TakenRange } from "../types.js";
import { takenRanges } from "./look.js";

/**
 * A route may have come since the network was made: a VPN's, say.
 *
 * @param ip the program
 * @throws KilnError failed_precondition `subnet-overlaps`
 */
export async function refuseOverlap(ip: string, spec: NetworkSpec): Promise<void> {
  const [overlap] = overlapsOf(spec, await takenRanges(ip));
  if (overlap === undefined) return;
  throw new KilnError(Code.FailedPrecondition, `bring up network ${spec.name}: its ${overlap}`, {
    reason: "subnet-overlaps",
    hint: "make the network anew with another subnet",
  });
}

/** What came to lie over a network that is up, as a VPN's route does. @returns words for people. Pure. */
export function overlapsOf(spec: NetworkSpec, taken: readonly TakenRange[]): string[] {
  return [spec.subnet4, spec.subnet6].flatMap((subnet) => {
    const own = parseCidr(subnet ?? "");
    const other = taken.find(({ destination, device }) => {
      const range = parseCidr(destination);
      const isOther = own !== undefined && range !== undefined && device !== bridgeName(spec.id);
      return isOther && overlaps(own, range);
    });
    if (other === undefined) return [];
    return [`subnet ${subnet} overlaps with ${other.destination}, which is behind ${other.device}`];
  });
}
