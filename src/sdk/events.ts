// What happens to VMs, images and kernels, as it happens.

import { defined } from "../base/defined.js";
import { numberOf } from "./convert.js";
import type { CallOptions } from "./deadline.js";
import { CALL, checkOptions, type NamesOf } from "./known-options.js";
import { lastingAnswers } from "./lasting-answers.js";
import type { Transport } from "./transport.js";
import type { KilnEvent } from "./types.js";

/** Options of `kiln.events()`. Without `after` and `since`: what happens from now on. */
export interface EventOptions extends CallOptions {
  /** Goes on after the event with this cursor, without a gap. */
  readonly after?: number | undefined;
  readonly since?: Date | undefined;
  /** Ends there instead of waiting for more. */
  readonly until?: Date | undefined;
  /** "type=vm", "event=die", "vm=web", "label=k=v". */
  readonly filter?: readonly string[] | undefined;
}

const EVENTS_OPTIONS: NamesOf<EventOptions> = {
  ...CALL,
  after: true,
  since: true,
  until: true,
  filter: true,
};

/** Follows events, over as many kilnds as it takes: a new one says `events-lost` where it can't know what went before. */
export async function* readEvents(
  transport: Transport,
  options: EventOptions,
): AsyncGenerator<KilnEvent, void> {
  checkOptions("kiln.events()", options, EVENTS_OPTIONS);
  const until = defined({ until: options.until?.toISOString() });
  const request = {
    filters: options.filter?.slice() ?? [],
    ...defined({ afterCursor: options.after?.toString(), since: options.since?.toISOString() }),
    ...until,
  };
  const begun = new Date();
  let cursor: string | undefined;
  let again = false;
  const from = () => {
    if (cursor !== undefined) return { filters: request.filters, ...until, afterCursor: cursor };
    // "From now on" is from the first time on that it was asked.
    const fromNow = options.after === undefined && options.since === undefined && options.until === undefined;
    return again && fromNow ? { ...request, since: begun.toISOString() } : request;
  };
  const answers = lastingAnswers(
    {
      what: "Events",
      ask: (bound) => transport.serverStream("SystemService/Events", from(), bound),
      canAskAgain: () => {
        again = true;
        return true;
      },
    },
    options,
  );
  for await (const { event } of answers) {
    if (event === undefined) continue;
    cursor = event.cursor ?? cursor;
    yield {
      cursor: numberOf(event.cursor),
      time: new Date(event.time ?? 0),
      type: event.type ?? "",
      action: event.action ?? "",
      id: event.id ?? "",
      attributes: event.attributes ?? {},
    };
  }
}
