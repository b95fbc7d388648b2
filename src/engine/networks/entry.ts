// One network in memory, and all of them by id and by name.

import { Entry, type EntryKind } from "../objects/entry.js";
import type { Ref } from "../objects/references.js";
import { Registry } from "../objects/registry.js";
import type { NetworkRecord } from "./record.js";

export const NETWORK_RECORD_FILE = "network.json";

/** It has none: whether it is up is known by who is on it. */
export type NoStatus = Record<string, never>;

export class NetworkEntry extends Entry<NetworkRecord, NoStatus> {}

export function networkKind(
  kind: Pick<EntryKind<NetworkRecord, NoStatus>, "files" | "lock">,
): EntryKind<NetworkRecord, NoStatus> {
  return { noun: "network", recordFile: NETWORK_RECORD_FILE, nameOf: ({ name }) => name, ...kind };
}

export function networkRef(id: string): Ref {
  return { noun: "network", id };
}

export class NetworkRegistry extends Registry<NetworkEntry> {
  constructor() {
    super({
      noun: "network",
      order: ({ record }) => record.createdAt,
      removal: (name) => `\`kiln network rm ${name}\``,
    });
  }
}
