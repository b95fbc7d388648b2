// Removes what nobody uses. Each is asked for at its own turn, not all of them before the first: what is used may have
// changed while the ones before it went.

import { KilnError } from "../../base/errors.js";
import type { ClaimOptions, Noun, References } from "./references.js";

export interface Collected {
  readonly removed: readonly string[];
  /** Those whose removal failed: they cost the others nothing. */
  readonly failed: readonly { readonly id: string; readonly error: KilnError }[];
}

/**
 * @param wanted those that may go, in the order in which they are tried; the next one is asked for when its turn comes
 * @param remove takes all of it away, and waits for nobody who may be waiting for a lease on it
 */
export async function collect(
  references: References,
  noun: Noun,
  wanted: Iterable<string>,
  remove: (id: string) => Promise<void>,
  options: ClaimOptions = {},
): Promise<Collected> {
  const removed: string[] = [];
  const failed: { id: string; error: KilnError }[] = [];
  for (const id of wanted) {
    const claim = references.tryClaim({ noun, id }, options);
    if (claim === undefined) continue;
    try {
      await remove(id);
      // What it used is free for those after it, and no lease comes in between.
      references.drop(claim.to);
      removed.push(id);
    } catch (error) {
      failed.push({ id, error: KilnError.from(error) });
    } finally {
      claim.release();
    }
  }
  return { removed, failed };
}

/** @throws the first failure: those behind it were tried all the same */
export function requireAll({ failed }: Collected): void {
  const [first] = failed;
  if (first !== undefined) throw first.error;
}
