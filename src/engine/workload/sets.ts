// The programs beside the main one of all VMs.

import { KilnError } from "../../base/errors.js";
import { KeyedLock } from "../../base/lock.js";
import type { Logger } from "../../base/log.js";
import type { EventLog } from "../common/events.js";
import type { Rooms } from "../common/rooms.js";
import type { EngineSettings } from "../common/settings.js";
import type { Companion, Companions } from "../run/companion.js";
import type { VmEntry } from "../vm/entry.js";
import type { VmStore } from "../vm/store.js";
import { emitVmEvent } from "../vm/vm-events.js";
import type { WorkloadRecord } from "./record.js";
import { WorkloadSet } from "./set.js";
import { processOf } from "./vm-exec.js";

export interface WorkloadSetsOptions {
  readonly store: Pick<VmStore, "directory">;
  readonly rooms: Pick<Rooms, "agent">;
  readonly settings: Pick<EngineSettings, "execLogLimits" | "endGraceMs" | "linkPauses">;
  readonly events: Pick<EventLog, "emit">;
  readonly log: Logger;
  readonly now: () => number;
}

export class WorkloadSets implements Companions {
  readonly #options: WorkloadSetsOptions;
  readonly #lock = new KeyedLock();
  /** They go with their VMs. */
  readonly #sets = new WeakMap<VmEntry, WorkloadSet>();

  constructor(options: WorkloadSetsOptions) {
    this.#options = options;
  }

  of(vm: VmEntry): WorkloadSet {
    const known = this.#sets.get(vm);
    if (known !== undefined) return known;
    const { store, rooms, settings, events, log, now } = this.#options;
    const set = new WorkloadSet({
      vm,
      vmDirectory: store.directory(vm.id),
      lock: this.#lock,
      log: log.with({ vm: vm.shortId, name: vm.name }),
      logLimits: settings.execLogLimits,
      pumpLogs: rooms.agent.pumpLogs,
      endGraceMs: settings.endGraceMs,
      pauses: settings.linkPauses,
      now,
      tell: (action, attributes) => emitVmEvent({ events }, vm, action, attributes),
      processOf: (entry, record) => processOf(entry, specOf(record)),
    });
    this.#sets.set(vm, set);
    return set;
  }

  /** Reads what is on disk. What can't be read of one VM costs no other. */
  async load(vms: readonly VmEntry[]): Promise<void> {
    for (const vm of vms) {
      await this.of(vm)
        .load()
        .catch((error: unknown) => {
          const why = KilnError.from(error).message;
          this.#options.log.error("the programs of a VM can't be read", { vm: vm.shortId, why });
        });
    }
  }

  async detach(vms: readonly VmEntry[]): Promise<void> {
    await Promise.all(vms.map((vm) => this.of(vm).detach()));
  }

  attend(vm: VmEntry): Companion {
    return this.of(vm).attend();
  }

  ended(vm: VmEntry): Promise<void> {
    return this.of(vm).ended();
  }
}

function specOf({ args, env, user, workdir, tty, columns, rows }: WorkloadRecord) {
  return { args, env, user, workdir, tty, columns, rows, stdin: false, detach: false, id: "" };
}
