// Who runs in a VM's run directory: written before the VMM runs, read by a kilnd that died before the VM's own record
// was written. Command lines prove nothing: a jailed VMM's names no host path, and anybody may name ours.

import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { readJson, tempNameFor } from "../base/files.js";
import type { ProcessId } from "../base/processes.js";

const FILE = "process.json";
const MAX_PID = 2 ** 22;

const ProcessSchema = v.object({
  pid: v.pipe(v.number(), v.integer(), v.minValue(2), v.maxValue(MAX_PID)),
  startTime: v.pipe(v.string(), v.regex(/^[0-9a-f.-]{1,80}$/)),
});
const RecordSchema = v.object({
  version: v.literal(1),
  vmId: v.string(),
  driver: v.picklist(["qemu", "firecracker"]),
  /** The process that kilnd started: the VMM itself, or the monitor of its jail. */
  spawned: ProcessSchema,
  /** The VMM, once it is known; else it is `spawned` or a child of it. */
  vmm: v.optional(ProcessSchema),
  /** What `spawned` executes, as a real path. */
  executable: v.string(),
  /** Whom the VMM runs as. */
  uid: v.pipe(v.number(), v.integer(), v.minValue(0)),
});

export interface ProcessRecord {
  readonly version: 1;
  readonly vmId: string;
  readonly driver: "qemu" | "firecracker";
  readonly spawned: ProcessId;
  readonly vmm?: ProcessId | undefined;
  readonly executable: string;
  readonly uid: number;
}

/** @param runDirectory a directory that only kilnd writes */
export function writeProcessRecord(runDirectory: string, record: ProcessRecord): void {
  const path = join(runDirectory, FILE);
  const temp = tempNameFor(path);
  // At once, because the VMM's start waits for it; not durable, because a power cut ends its processes too.
  writeFileSync(temp, `${JSON.stringify(record)}\n`, { flag: "wx", mode: 0o600 });
  renameSync(temp, path);
}

/** Undefined where there is none, or none that can be believed. */
export async function readProcessRecord(runDirectory: string): Promise<ProcessRecord | undefined> {
  const value = await readJson(join(runDirectory, FILE)).catch(() => undefined);
  const parsed = v.safeParse(RecordSchema, value);
  return parsed.success ? parsed.output : undefined;
}
