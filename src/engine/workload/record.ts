// What is kept of a program beside the main one: workload.json says what was asked, status.json what became of it.

import * as v from "valibot";
import { openObject, type Parsed, type RecordKind } from "../../base/versioned.js";
import { RestartPolicySchema } from "../vm/vm-config.js";

const Text = v.optional(v.string(), "");
const Flag = v.optional(v.boolean(), false);
const Strings = v.optional(v.array(v.string()), []);
const Count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const count = (byDefault: number) => v.optional(Count, byDefault);

const WorkloadRecordSchema = openObject({
  version: Count,
  id: Text,
  createdAt: Text,
  /** Of its VM, with which it ends; 0 where the record is lost. */
  boot: count(0),
  args: Strings,
  /** Added to the VM's own. */
  env: Strings,
  /** Empty: the VM's own. */
  user: Text,
  workdir: Text,
  tty: Flag,
  columns: count(0),
  rows: count(0),
  restart: v.optional(RestartPolicySchema, {}),
});
export type WorkloadRecord = v.InferOutput<typeof WorkloadRecordSchema>;

export const WORKLOAD_RECORD: RecordKind<WorkloadRecord> = {
  version: 1,
  schema: WorkloadRecordSchema,
  migrations: {},
};

const STATES = ["starting", "running", "restarting", "exited"] as const;
/** restarting: it has ended, and its policy brings it back. exited: for good. */
export type WorkloadState = (typeof STATES)[number];

const WorkloadStatusSchema = openObject({
  version: Count,
  /** Without it nothing is known: the file then counts as lost. */
  state: v.picklist(STATES),
  /** Counts its starts from 1; also the boot of its log, and part of its name to the agent. */
  run: count(1),
  /** In the guest. */
  pid: count(0),
  exitCode: v.optional(v.pipe(v.number(), v.integer()), 0),
  /** Stable word: "program-exited", "program-not-started", "vm-ended", "lost". */
  reason: Text,
  message: Text,
  oomKilled: Flag,
  restartCount: count(0),
  /** The back-off before the present run, milliseconds. */
  restartDelayMs: count(0),
  /** The user ended it: no policy brings it back. */
  stoppedByUser: Flag,
  startedAt: v.exactOptional(v.string()),
  finishedAt: v.exactOptional(v.string()),
  restartAt: v.exactOptional(v.string()),
});
export type WorkloadStatus = v.InferOutput<typeof WorkloadStatusSchema>;

export const WORKLOAD_STATUS: RecordKind<WorkloadStatus> = {
  version: 1,
  schema: WorkloadStatusSchema,
  migrations: {},
};

/** The status of one that is still to be started. */
export function startingStatus(): WorkloadStatus {
  return {
    ...{ version: 1, state: "starting", run: 1, pid: 0, exitCode: 0, reason: "", message: "" },
    ...{ oomKilled: false, restartCount: 0, restartDelayMs: 0, stoppedByUser: false },
  };
}

/** A record of which nothing can be read. */
export function lostRecord(id: string): WorkloadRecord {
  return {
    ...{ version: 1, id, createdAt: "", boot: 0, args: [], env: [], user: "", workdir: "", tty: false },
    ...{ columns: 0, rows: 0, restart: { name: "no", maximumRetryCount: 0 } },
  };
}

/** True where a record says all that a start needs. */
export function isWholeWorkload({ value }: Parsed<WorkloadRecord>): boolean {
  return value.args.length > 0 && value.boot > 0;
}
