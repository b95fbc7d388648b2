// Long work that several verbs may need at once, and that some of them only want where it is done already.

import { Code, KilnError } from "../../base/errors.js";
import type { OnProgress } from "../../base/progress.js";
import { type FlightOptions, SingleFlight } from "../../base/single-flight.js";

export interface WorkOptions extends FlightOptions {
  /** Refuses instead of working: for who wants only what is there already. */
  readonly readyOnly?: boolean | undefined;
}

export class SharedWork<T> extends SingleFlight<T> {
  /** @throws KilnError failed_precondition `not-ready` under `readyOnly`, and as a SingleFlight */
  override async run(
    key: string,
    options: WorkOptions,
    body: (signal: AbortSignal, onProgress: OnProgress) => Promise<T>,
  ): Promise<T> {
    options.signal?.throwIfAborted();
    if (options.readyOnly) throw notReady("make what it needs");
    return await super.run(key, options, body);
  }
}

/** @param what would have to be done first */
export function notReady(what: string): KilnError {
  return new KilnError(
    Code.FailedPrecondition,
    `${what}: that takes work, and only what is ready was asked for`,
    {
      reason: "not-ready",
      hint: "ask again without ready_only",
    },
  );
}
