// What happens to VMs, images and kernels, as it happens.

import { numberOf } from "./convert.js";
import type { CallOptions } from "./deadline.js";
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

/** Follows events. Errors: unavailable `connection-lost`; go on with `after`. */
export async function* readEvents(
  transport: Transport,
  options: EventOptions,
): AsyncGenerator<KilnEvent, void> {
  const request = {
    filters: options.filter?.slice() ?? [],
    ...(options.after === undefined ? {} : { afterCursor: String(options.after) }),
    ...(options.since === undefined ? {} : { since: options.since.toISOString() }),
    ...(options.until === undefined ? {} : { until: options.until.toISOString() }),
  };
  for await (const { event } of transport.serverStream("SystemService/Events", request, options)) {
    if (event === undefined) continue;
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
