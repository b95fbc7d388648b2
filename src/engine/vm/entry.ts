// One VM in memory: its record, its status, what runs of it. All changes of status pass here, so that memory, disk
// and those who wait never disagree.

import { Alarm } from "../../base/alarm.js";
import { Entry, type EntryKind, type EntryState } from "../objects/entry.js";
import type { VmLog } from "../output/vm-log.js";
import type { VmRecord } from "./record.js";
import type { LiveView, RunView } from "./run-view.js";
import { type Change, isEnded, transition, type VmState } from "./state.js";
import type { VmStatus } from "./status.js";
import { VM_RECORD_FILE } from "./store.js";

/** What all VMs have in common. */
export function vmKind(kind: Pick<EntryKind<VmRecord, VmStatus>, "files" | "lock">): VmKind {
  const { files, lock } = kind;
  return { noun: "VM", recordFile: VM_RECORD_FILE, files, lock, nameOf: ({ config }) => config.name };
}
export type VmKind = EntryKind<VmRecord, VmStatus>;

/** A VM in memory, for whoever shows or changes it; its verbs are the engine's. */
export class VmEntry extends Entry<VmRecord, VmStatus> {
  readonly log: VmLog;
  /** Of the restart policy. */
  readonly restartAlarm = new Alarm();
  /** Of the end of its lifetime. */
  readonly lifetimeAlarm = new Alarm();
  /** Who follows it to its end: now, and of those that the last kilnd had, who has not come back. */
  readonly followers: { now: number; missed: number };
  /** Users who are about to start it again once it has ended: until then its end is none that it is removed for. */
  restarts = 0;
  #run: RunView | undefined;

  constructor(kind: VmKind, vm: EntryState<VmRecord, VmStatus>, log: VmLog) {
    super(kind, vm);
    this.log = log;
    this.followers = { now: 0, missed: vm.status.followers ?? 0 };
  }

  get state(): VmState {
    return this.status.state;
  }

  /** Its run, from the moment that a start or a takeover begins until the end is written. Set by that run alone. */
  get run(): RunView | undefined {
    return this.#run;
  }

  set run(run: RunView | undefined) {
    this.#run = run;
    this.changed.notify();
  }

  /** What runs, once its boot is over. */
  get live(): LiveView | undefined {
    return this.#run?.live;
  }

  /** Changes the state; resolves once it is on disk. An end survives a power cut, a start need not. */
  async change(change: Change, facts: Partial<VmStatus> = {}): Promise<void> {
    const next = { ...transition(this.status, change), ...this.#expiry(change), ...facts };
    await this.save(next, isEnded(next.state) && !this.record.config.autoRemove);
  }

  /** Its lifetime begins when its program first runs: a slow boot takes nothing of it, a reboot adds nothing. */
  #expiry(change: Change): Partial<VmStatus> {
    const { lifetimeMs } = this.record.config;
    if (change.to !== "running" || lifetimeMs === 0 || this.status.expiresAt !== undefined) return {};
    return { expiresAt: new Date(Date.parse(change.at) + lifetimeMs).toISOString() };
  }
}
