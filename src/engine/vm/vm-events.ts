// What is told about VMs, for `kiln events`.

import type { EventLog } from "../common/events.js";
import type { VmEntry } from "./entry.js";

/** An event about a VM, with what every filter may ask for. */
export function emitVmEvent(
  { events }: { readonly events: Pick<EventLog, "emit"> },
  entry: Pick<VmEntry, "id" | "record">,
  action: string,
  attributes: Readonly<Record<string, string>> = {},
): void {
  const { name, image, labels } = entry.record.config;
  events.emit({
    type: "vm",
    action,
    id: entry.id,
    attributes: { ...labels, name, image, ...attributes },
  });
}
