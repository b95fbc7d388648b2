// The programs of one VM on disk: vms/<id>/exec/<id>/{workload.json,status.json,log/}. They go with the VM.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../../base/errors.js";
import { failpoint } from "../../base/failpoint.js";
import { exists } from "../../base/files.js";
import type { Logger } from "../../base/log.js";
import { type LoadedObject, ObjectStore } from "../../base/object-store.js";
import { listSegments } from "../output/log-segments.js";
import {
  isWholeWorkload,
  lostRecord,
  startingStatus,
  WORKLOAD_RECORD,
  WORKLOAD_STATUS,
  type WorkloadRecord,
  type WorkloadStatus,
} from "./record.js";

export const WORKLOAD_FILE = "workload.json";
/** 128 bits: room is left in the agent's 64 digits for the number of a run. */
export const WORKLOAD_ID = /^[0-9a-f]{32}$/;

export interface LoadedWorkload {
  readonly record: WorkloadRecord;
  readonly status: WorkloadStatus;
  /** What of its record is lost: it is never started again. */
  readonly recordFlaw: string | undefined;
}

export class WorkloadStore {
  readonly objects: ObjectStore<WorkloadRecord, WorkloadStatus>;

  /** @param vmDirectory of the VM that they run in */
  constructor(vmDirectory: string, log: Logger) {
    this.objects = new ObjectStore({
      ...{ noun: "exec", root: join(vmDirectory, "exec"), id: WORKLOAD_ID, log },
      record: { file: WORKLOAD_FILE, kind: WORKLOAD_RECORD, isWhole: isWholeWorkload },
      status: { file: "status.json", kind: WORKLOAD_STATUS },
      onStep: (step) => failpoint(`exec.${step}`),
    });
  }

  logDirectory(id: string): string {
    return this.objects.path(id, "log");
  }

  /** All that are there; none is left out for its files. */
  async load(): Promise<LoadedWorkload[]> {
    // Most VMs have none, and are given no directory for it.
    if (!(await exists(this.objects.root))) return [];
    const found = await this.objects.load();
    return Promise.all(found.map((one) => this.#complete(one)));
  }

  async create(record: WorkloadRecord): Promise<WorkloadStatus> {
    const status = startingStatus();
    // Not with the directories above it: a VM that is being removed does not come back.
    await mkdir(this.objects.root, { mode: 0o700 }).catch((error: unknown) => {
      if (errnoOf(error) !== "EEXIST") throw error;
    });
    await this.objects.create(record.id, { record, status }, async () => undefined);
    return status;
  }

  async #complete({
    id,
    record,
    status,
  }: LoadedObject<WorkloadRecord, WorkloadStatus>): Promise<LoadedWorkload> {
    const flaw =
      record.whole && !record.newer ? undefined : "its record is lost, or was written by a newer kiln";
    return {
      record: { ...(record.value ?? lostRecord(id)), id },
      status: status?.value ?? (await this.#lostStatus(id)),
      recordFlaw: flaw,
    };
  }

  /** As if it ran: the agent is asked. */
  async #lostStatus(id: string): Promise<WorkloadStatus> {
    const segments = await listSegments(this.logDirectory(id)).catch(() => []);
    return { ...startingStatus(), state: "running", run: segments.at(-1)?.boot ?? 1, reason: "status-lost" };
  }
}
