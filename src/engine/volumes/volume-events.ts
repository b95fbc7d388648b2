// What is told about volumes, for `kiln events`.

import type { EventLog } from "../common/events.js";
import type { VolumeEntry } from "./entry.js";

/** An event about a volume, with what every filter may ask for. */
export function emitVolumeEvent(
  { events }: { readonly events: Pick<EventLog, "emit"> },
  { id, record }: Pick<VolumeEntry, "id" | "record">,
  action: string,
  attributes: Readonly<Record<string, string>> = {},
): void {
  const { labels, name } = record;
  events.emit({ type: "volume", action, id, attributes: { ...labels, name, ...attributes } });
}
