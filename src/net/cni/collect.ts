// What plugins have of a network that nobody knows of any more: of a kilnd whose data root was removed, say. They are told what is
// left, and forget all else (GC, since CNI 1.1).

import { KilnError } from "../../base/errors.js";
import type { RecordFiles } from "../../base/record-files.js";
import { findConflist } from "./conflists.js";
import { type CniRecord, networkOf, readRecord } from "./record.js";
import type { CniRuntime } from "./runtime.js";

interface Collecting {
  readonly configs: readonly string[];
  readonly runtime: CniRuntime;
  readonly records: RecordFiles<CniRecord>;
}

/**
 * By whoever keeps others from coming to it. What is on record stays, also of cards that plugins would not let go of.
 *
 * @throws KilnError as `findConflist`, and as `CniRuntime.gc`
 */
export async function collectGarbage({ configs, runtime, records }: Collecting, name: string): Promise<void> {
  const network = await findConflist(configs, name);
  const valid: { containerId: string; ifName: string }[] = [];
  for (const id of await records.ids()) {
    const record = await readRecord(records, id);
    if (record !== undefined && networkOf(record).name === name)
      valid.push({ containerId: record.vmId, ifName: record.ifName });
  }
  await runtime.gc(network, valid);
}

/** All of them are tried. @throws KilnError the first failure */
export async function each<T>(all: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  let failure: KilnError | undefined;
  for (const one of all)
    await work(one).catch((error: unknown) => {
      failure ??= KilnError.from(error);
    });
  if (failure !== undefined) throw failure;
}
