// Finds what work needs and keeps it until the work is done. Between the finding and the keeping somebody may remove it:
// then it is looked for again, and perhaps made again.

import { Code, KilnError } from "../../base/errors.js";
import type { UndoStack } from "../../base/undo.js";
import type { Ref, References } from "./references.js";

export interface Sought<T> {
  readonly find: () => Promise<T>;
  readonly refOf: (found: T) => Ref;
  /** Whether it is there at this moment. */
  readonly isHere: (found: T) => boolean;
}

export interface Keeping {
  readonly references: References;
  /** Rolled back together with an abort of the signal: what is found after that is let go of at once. */
  readonly leases: UndoStack;
  /** For whoever wants to remove it: "VM web is being made". */
  readonly why: string;
  readonly signal?: AbortSignal | undefined;
}

const ATTEMPTS = 5;

/** @throws KilnError aborted `being-removed`, the signal's reason, and what `find` throws */
export async function leaseFound<T>(keeping: Keeping, sought: Sought<T>): Promise<T> {
  const { references, leases, why, signal } = keeping;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const found = await sought.find();
    const ref = sought.refOf(found);
    const lease = await references.leaseAfterRemoval(ref, why, signal);
    if (sought.isHere(found) && signal?.aborted !== true) {
      leases.push(`let go of ${ref.noun} ${ref.id}`, lease.release);
      return found;
    }
    lease.release();
    signal?.throwIfAborted();
  }
  throw new KilnError(Code.Aborted, `${why}: what it needs is removed as often as it is found`, {
    reason: "being-removed",
    hint: "something keeps removing images or kernels: a `kiln system prune` in a loop?",
  });
}
