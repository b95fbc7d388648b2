// A program beside the main one as it is shown outside the engine.

import type { DeepReadonly } from "../../base/read-only.js";
import type { VmEntry } from "../vm/entry.js";
import type { WorkloadEntry } from "./entry.js";
import type { WorkloadRecord, WorkloadState, WorkloadStatus } from "./record.js";

/** A program that `exec -d` has started as it is now, also after its removal. Nothing of it can be changed through this. */
export class WorkloadView {
  readonly #vm: VmEntry;
  readonly #entry: WorkloadEntry;

  constructor(vm: VmEntry, entry: WorkloadEntry) {
    this.#vm = vm;
    this.#entry = entry;
    Object.freeze(this);
  }

  /** 32 hex digits. */
  get id(): string {
    return this.#entry.id;
  }

  /** Its VM's id. */
  get vm(): string {
    return this.#vm.id;
  }

  get state(): WorkloadState {
    return this.#entry.state;
  }

  /** What was asked. */
  get record(): DeepReadonly<WorkloadRecord> {
    return this.#entry.record;
  }

  get status(): DeepReadonly<WorkloadStatus> {
    return this.#entry.status;
  }
}
