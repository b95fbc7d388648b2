// What is kept of a network: network.json says what was asked and which addresses it was given. Nothing of it changes.

import * as v from "valibot";
import type { NetworkSpec } from "../../base/networks.js";
import { openObject, type RecordKind } from "../../base/versioned.js";

const Count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const Text = v.optional(v.string(), "");
const Flag = v.optional(v.boolean(), false);
const Texts = v.optional(v.record(v.string(), v.string()), {});

/** What every card carries. */
export const DEFAULT_MTU = 1500;

const NetworkRecordSchema = openObject({
  version: Count,
  id: Text,
  name: Text,
  createdAt: Text,
  /** One that this release does not know is kept, and no VM is put on it. */
  driver: v.optional(v.string(), "bridge"),
  /** With its prefix; "" where it has no IPv4. */
  subnet4: Text,
  gateway4: Text,
  /** Part of `subnet4` that addresses are chosen from; "" for all of it. */
  range4: Text,
  subnet6: Text,
  gateway6: Text,
  /** A word that is lost opens nothing. */
  internal: v.optional(v.boolean(), true),
  isolated: v.optional(v.boolean(), true),
  mtu: v.optional(Count, DEFAULT_MTU),
  dnsDisabled: Flag,
  /** As they were given. */
  options: Texts,
  labels: Texts,
});
export type NetworkRecord = v.InferOutput<typeof NetworkRecordSchema>;

export const NETWORK_RECORD: RecordKind<NetworkRecord> = {
  version: 1,
  schema: NetworkRecordSchema,
  migrations: {},
};

/** As the room below takes it. */
export function specOf(record: NetworkRecord): NetworkSpec {
  const { id, name, internal, isolated, mtu, dnsDisabled, options } = record;
  const given = (text: string) => (text === "" ? undefined : text);
  return {
    ...{ id, name, driver: "bridge", internal, isolated, mtu, dnsDisabled, options },
    subnet4: given(record.subnet4),
    gateway4: given(record.gateway4),
    subnet6: given(record.subnet6),
    gateway6: given(record.gateway6),
  };
}
