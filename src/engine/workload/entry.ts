// One program beside the main one in memory: its record, its status, its output.

import { Code, KilnError } from "../../base/errors.js";
import type { KeyedLock } from "../../base/lock.js";
import { Entry, type EntryKind } from "../objects/entry.js";
import type { VmLog } from "../output/vm-log.js";
import { FAILED_EXIT_CODE, KILLED_EXIT_CODE } from "../vm/exit-codes.js";
import type { WorkloadRecord, WorkloadState, WorkloadStatus } from "./record.js";
import { type LoadedWorkload, WORKLOAD_FILE, type WorkloadStore } from "./store.js";

const RUN_DIGITS = 8;
const ID_DIGITS = 32;

/** Why a program has ended of which the agent reported no end. */
export type Unreported = "vm-ended" | "lost";

/** A program beside the main one, for whoever shows it; its verbs are the engine's. */
export class WorkloadEntry extends Entry<WorkloadRecord, WorkloadStatus> {
  readonly output: VmLog;

  constructor(
    store: WorkloadStore,
    lock: KeyedLock,
    { record, status, recordFlaw }: LoadedWorkload,
    output: VmLog,
  ) {
    super(kindOf(store, lock), { id: record.id, record, status, recordFlaw });
    this.output = output;
  }

  get state(): WorkloadState {
    return this.status.state;
  }

  get isOver(): boolean {
    return this.state === "exited";
  }

  /** Its present run's name to the agent: no run is ever taken for another. */
  get agentId(): string {
    return this.id + this.status.run.toString(16).padStart(RUN_DIGITS, "0");
  }

  /** Its end for good without a report; its output ends too. What is over already stays as it was. */
  async endUnreported(reason: Unreported, at: string): Promise<void> {
    if (this.isOver) return;
    const exitCode = reason === "lost" ? FAILED_EXIT_CODE : KILLED_EXIT_CODE;
    const written = this.note({
      state: "exited",
      reason,
      message: MESSAGES[reason],
      exitCode,
      finishedAt: at,
    });
    await written.finally(() => this.output.end());
  }
}

const MESSAGES: Readonly<Record<Unreported, string>> = {
  "vm-ended": "it ended with its VM",
  lost: "the guest's agent does not know it any more",
};

function kindOf({ objects }: WorkloadStore, lock: KeyedLock): EntryKind<WorkloadRecord, WorkloadStatus> {
  return {
    ...{ noun: "exec", recordFile: WORKLOAD_FILE, files: objects, lock },
    nameOf: ({ id }) => id.slice(0, 12),
  };
}

/** Whose run an id of the agent's is; undefined for one that is not kiln's. */
export function parseAgentId(agentId: string): { readonly id: string; readonly run: number } | undefined {
  if (!AGENT_ID.test(agentId)) return undefined;
  return { id: agentId.slice(0, ID_DIGITS), run: Number.parseInt(agentId.slice(ID_DIGITS), 16) };
}

const AGENT_ID = new RegExp(`^[0-9a-f]{${ID_DIGITS + RUN_DIGITS}}$`);

/** For one that is not kept, or not any more. */
export function workloadNotFound(key: string, vmName: string): KilnError {
  return new KilnError(Code.NotFound, `VM ${vmName} has no exec ${key}`, {
    reason: "exec-not-found",
    hint: `\`kiln execs -a ${vmName}\` lists them; of those that have ended the last 32 are kept`,
  });
}

/** By full id or unique prefix. */
export function findWorkload(all: readonly WorkloadEntry[], key: string, vmName: string): WorkloadEntry {
  const matches = key === "" ? [] : all.filter(({ id }) => id.startsWith(key));
  const [first] = matches;
  if (first === undefined) throw workloadNotFound(key, vmName);
  if (matches.length === 1) return first;
  const some = matches.slice(0, 5).map(({ shortId }) => shortId);
  throw new KilnError(
    Code.InvalidArgument,
    `exec id ${key} is ambiguous in VM ${vmName}: ${some.join(", ")}`,
    {
      reason: "ambiguous-id",
      hint: "give more characters of the id",
    },
  );
}
