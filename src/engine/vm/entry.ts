// One VM in memory: its record, its status, what runs of it. All changes of status pass here, so that memory, disk
// and those who wait never disagree.

import { Entry, type EntryKind, type EntryState } from "../objects/entry.js";
import type { VmLog } from "../output/vm-log.js";
import type { VmRecord } from "./record.js";
import type { RunView } from "./run-view.js";
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
  /** The timer of the restart policy. */
  restartTimer: NodeJS.Timeout | undefined;
  /** The timer of its lifetime. */
  lifetimeTimer: NodeJS.Timeout | undefined;
  /** Who follows it to its end: now, and of those that the last kilnd had, who has not come back. */
  readonly followers: { now: number; missed: number };
  /** Ends the wait for a VMM that a new kilnd is reaching for: it can then be ended without being spoken to. */
  takeover: AbortController | undefined;
  #live: RunView | undefined;
  #starting: AbortController | undefined;

  constructor(kind: VmKind, vm: EntryState<VmRecord, VmStatus>, log: VmLog) {
    super(kind, vm);
    this.log = log;
    this.followers = { now: 0, missed: vm.status.followers ?? 0 };
  }

  get state(): VmState {
    return this.status.state;
  }

  /** What runs; undefined unless the state is live. */
  get live(): RunView | undefined {
    return this.#live;
  }

  set live(live: RunView | undefined) {
    this.#live = live;
    this.changed.notify();
  }

  /** Aborts the start that is under way; undefined where there is none. */
  get starting(): AbortController | undefined {
    return this.#starting;
  }

  set starting(abort: AbortController | undefined) {
    this.#starting = abort;
    this.changed.notify();
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
