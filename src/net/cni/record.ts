// What is kept of a card on a CNI network, from before its plugins are called until DEL is done: with it DEL can be done again,
// by the next kilnd, after the host's next boot, and where the network's file has changed or gone. libcni's cache has the same.

import { join } from "node:path";
import * as v from "valibot";
import { RecordFiles } from "../../base/record-files.js";
import { type Form, readForm } from "../../base/record-form.js";
import { type JsonObject, openObject, type RecordKind } from "../../base/versioned.js";
import { type CniNetwork, parseConflist } from "./conflist.js";

const Text = v.optional(v.string(), "");
const CniRecordSchema = openObject({
  version: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  vmId: Text,
  /** Its name when it was put there: for people. */
  vmName: Text,
  ifName: Text,
  /** Of addresses that were asked for. */
  mac: Text,
  ips: v.optional(v.array(v.string()), []),
  /** The network as it was, as JSON of a .conflist. */
  network: v.optional(v.record(v.string(), v.unknown()), {}),
  /** Of the plugins whose ADD has come to an end; null before. */
  result: v.optional(v.nullable(v.record(v.string(), v.unknown())), null),
  /** What they have made, as the guest has it; null before. */
  link: v.optional(
    v.nullable(
      openObject({
        mac: v.string(),
        mtu: v.pipe(v.number(), v.safeInteger()),
        addresses: v.array(v.string()),
        gateway4: Text,
        gateway6: Text,
      }),
    ),
    null,
  ),
});
export type CniRecord = v.InferOutput<typeof CniRecordSchema>;

const CNI_RECORD: RecordKind<CniRecord> = { version: 1, schema: CniRecordSchema, migrations: {} };
const ID = /^[0-9a-f]{64}-[0-7]$/;

const FORM: Form<CniRecord> = { kind: CNI_RECORD };

export function cniRecords(dataRoot: string): RecordFiles<CniRecord> {
  return new RecordFiles({ root: join(dataRoot, "cni"), id: ID, form: FORM });
}

/** Undefined where there is none, or none that says what could be undone: that is removed. */
export async function readRecord(
  records: RecordFiles<CniRecord>,
  id: string,
): Promise<CniRecord | undefined> {
  const { value } = await readForm(records.path(id), FORM, id);
  try {
    if (value !== undefined) networkOf(value);
    else await records.remove(id);
    return value;
  } catch {
    await records.remove(id);
    return undefined;
  }
}

/** @param index of the card among its VM's */
export function recordId(vmId: string, index: number): string {
  return `${vmId}-${index}`;
}

export function networkJson({ name, cniVersion, disableCheck, disableGC, plugins }: CniNetwork): JsonObject {
  return {
    ...{ name, cniVersion, disableCheck, disableGC },
    plugins: plugins.map(({ config }) => config),
  };
}

/** @throws KilnError failed_precondition `bad-cni-config` where the record does not say it any more */
export function networkOf({ network }: CniRecord): CniNetwork {
  return parseConflist(JSON.stringify(network));
}
