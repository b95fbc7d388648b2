// Who serves a share, and what: for the kilnd that comes next, in the VM's run directory.

import * as v from "valibot";
import { readJson } from "../base/files.js";
import { readHelperRecord, writeHelperRecord } from "../base/helper-record.js";
import type { ProcessId } from "../base/processes.js";
import { type SourceIdentity, SourceIdentitySchema } from "./identity.js";

const RecordSchema = v.object({ source: SourceIdentitySchema });

export async function writeShareRecord(
  path: string,
  process: ProcessId,
  source: SourceIdentity,
): Promise<void> {
  await writeHelperRecord(path, process, { source });
}

/** Of an earlier release's there is no source. Nothing of one that can't be read. */
export async function readShareRecord(
  path: string,
): Promise<{ process: ProcessId | undefined; source: SourceIdentity | undefined }> {
  const process = await readHelperRecord(path);
  const parsed = v.safeParse(RecordSchema, await readJson(path).catch(() => undefined));
  return { process, source: parsed.success ? parsed.output.source : undefined };
}
