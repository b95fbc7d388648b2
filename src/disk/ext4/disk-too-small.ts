// The one error for "does not fit", told from geometry, blocks and inodes alike.

import { Code, KilnError } from "../../base/errors.js";
import { formatMemory } from "../../base/units.js";

/**
 * @param neededBytes a size that is not too small for what is known so far; more may turn out later
 * @param what did not fit: "its files"
 */
export function diskTooSmall(sizeBytes: number, neededBytes: number, what: string): KilnError {
  return new KilnError(
    Code.ResourceExhausted,
    `a disk of ${formatMemory(sizeBytes)} is too small for ${what}: it needs at least ${formatMemory(neededBytes)}`,
    {
      reason: "disk-too-small",
      hint: "choose a larger disk, for example with --disk",
      details: { sizeBytes: String(sizeBytes), neededBytes: String(neededBytes) },
    },
  );
}
