// Which process helps a VM (its network, a share), for the kilnd that comes next: a file in the VM's run directory, which only
// kilnd writes.

import * as v from "valibot";
import { readJson, writeJsonAtomic } from "./files.js";
import type { ProcessId } from "./processes.js";

const RecordSchema = v.object({
  version: v.literal(1),
  process: v.object({
    pid: v.pipe(v.number(), v.integer(), v.minValue(2), v.maxValue(2 ** 22)),
    // Of releases without boot ids it is the ticks alone.
    startTime: v.pipe(v.string(), v.regex(/^\d{1,20}(b[0-9a-f]{8})?$/)),
  }),
});

/** @param more what else is known of it, for its kind's own reader */
export async function writeHelperRecord(
  path: string,
  process: ProcessId,
  more: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  // Processes of this boot of the host: a power cut ends them too.
  await writeJsonAtomic(path, { ...more, version: 1, process }, { durable: false });
}

/** Undefined where none is on record, or none that can be read. */
export async function readHelperRecord(path: string): Promise<ProcessId | undefined> {
  const value = await readJson(path).catch(() => undefined);
  const parsed = v.safeParse(RecordSchema, value);
  return parsed.success ? parsed.output.process : undefined;
}
