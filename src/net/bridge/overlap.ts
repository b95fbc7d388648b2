// Ranges of addresses that a network must not have, because somebody else has them.

import { overlaps, parseCidr } from "../../base/cidr.js";
import { Code, KilnError } from "../../base/errors.js";
import type { NetworkSpec } from "../../base/networks.js";
import { takenRanges } from "./look.js";

/**
 * A route may have come since the network was made: a VPN's, say.
 *
 * @param ip the program
 * @throws KilnError failed_precondition `subnet-overlaps`
 */
export async function refuseOverlap(ip: string, spec: NetworkSpec): Promise<void> {
  const taken = await takenRanges(ip);
  for (const subnet of [spec.subnet4, spec.subnet6]) {
    const own = parseCidr(subnet ?? "");
    const other = taken.find(({ destination }) => {
      const range = parseCidr(destination);
      return own !== undefined && range !== undefined && overlaps(own, range);
    });
    if (other === undefined) continue;
    throw new KilnError(
      Code.FailedPrecondition,
      `bring up network ${spec.name}: its subnet ${subnet} overlaps with ${other.destination}, which is behind ${other.device}`,
      { reason: "subnet-overlaps", hint: "make the network anew with another subnet" },
    );
  }
}
