// What has happened, for whoever wants to know.

import type { EventLog, KilnEvent, ReadEventsOptions } from "../common/events.js";
import { EVENT_FILTERS, matchesEvent, parseFilters } from "../common/filters.js";

export class Events {
  readonly #log: Pick<EventLog, "read">;

  constructor(log: Pick<EventLog, "read">) {
    this.#log = log;
  }

  /** Until `untilMs` or the signal; what was lost is told whatever the filters say. */
  async *read(options: ReadEventsOptions & { filters?: readonly string[] }): AsyncGenerator<KilnEvent> {
    const filters = parseFilters("events", options.filters ?? [], EVENT_FILTERS);
    for await (const event of this.#log.read(options)) {
      if (matchesEvent(event, filters) || event.action === "events-lost") yield event;
    }
  }
}
