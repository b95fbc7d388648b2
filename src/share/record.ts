// Which process serves a share, for the kilnd that comes next. In the VM's run directory, which only kilnd writes.

import { join } from "node:path";
import * as v from "valibot";
import { readJson, writeJsonAtomic } from "../base/files.js";
import type { ProcessId } from "../base/processes.js";

const RecordSchema = v.object({
  version: v.literal(1),
  process: v.object({
    pid: v.pipe(v.number(), v.integer(), v.minValue(2), v.maxValue(2 ** 22)),
    startTime: v.pipe(v.string(), v.regex(/^\d{1,20}b[0-9a-f]{8}$/)),
  }),
});

export async function writeServerRecord(
  runDirectory: string,
  share: string,
  process: ProcessId,
): Promise<void> {
  // A process of this boot of the host: a power cut ends it too.
  await writeJsonAtomic(pathOf(runDirectory, share), { version: 1, process }, { durable: false });
}

/** Undefined where none is on record, or none that can be read. */
export async function readServerRecord(runDirectory: string, share: string): Promise<ProcessId | undefined> {
  const value = await readJson(pathOf(runDirectory, share)).catch(() => undefined);
  const parsed = v.safeParse(RecordSchema, value);
  return parsed.success ? parsed.output.process : undefined;
}

function pathOf(runDirectory: string, share: string): string {
  return join(runDirectory, `share-${share}.json`);
}
