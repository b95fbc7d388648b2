// One VM in memory: its record, its status, what runs of it. All changes of status pass here, so that memory, disk
// and those who wait never disagree.

import { Code, KilnError } from "../../base/errors.js";
import { shortId } from "../../base/ids.js";
import { Notifier } from "../common/notifier.js";
import type { VmLog } from "../output/vm-log.js";
import type { VmRecord } from "./record.js";
import type { RunView } from "./run-view.js";
import { type Change, isEnded, transition, type VmState } from "./state.js";
import type { VmStatus } from "./status.js";

export interface Persist {
  record(record: VmRecord): Promise<void>;
  status(id: string, status: VmStatus, durable: boolean): Promise<void>;
}

export class VmEntry {
  readonly id: string;
  readonly log: VmLog;
  /** What of its record is lost or not understood: it is managed, but not started or changed. */
  readonly recordFlaw: string | undefined;
  /** Wakes at every change of status, and at removal. */
  readonly changed = new Notifier();
  /** The timer of the restart policy. */
  restartTimer: NodeJS.Timeout | undefined;
  /** The timer of its lifetime. */
  lifetimeTimer: NodeJS.Timeout | undefined;
  /** Who follows it to its end: now, and of those that the last kilnd had, who has not come back. */
  readonly followers: { now: number; missed: number };
  /** Ends the wait for a VMM that a new kilnd is reaching for: it can then be ended without being spoken to. */
  takeover: AbortController | undefined;
  /** Its removal has begun: nothing is written any more. */
  removing = false;
  /** Its files are gone. */
  removed = false;
  #live: RunView | undefined;
  #starting: AbortController | undefined;
  #record: VmRecord;
  #status: VmStatus;
  #writes: Promise<void> = Promise.resolve();
  readonly #persist: Persist;

  constructor(record: VmRecord, status: VmStatus, log: VmLog, persist: Persist, recordFlaw?: string) {
    this.id = record.id;
    this.#record = record;
    this.#status = status;
    this.log = log;
    this.followers = { now: 0, missed: status.followers ?? 0 };
    this.#persist = persist;
    this.recordFlaw = recordFlaw;
  }

  get name(): string {
    return this.#record.config.name;
  }

  get shortId(): string {
    return shortId(this.id);
  }

  get record(): VmRecord {
    return this.#record;
  }

  get status(): VmStatus {
    return this.#status;
  }

  get state(): VmState {
    return this.#status.state;
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
    const next = { ...transition(this.#status, change), ...this.#expiry(change), ...facts };
    await this.#save(next, isEnded(next.state) && !this.#record.config.autoRemove);
  }

  /** Writes facts down that are no change of state. */
  async note(facts: Partial<VmStatus>, durable = false): Promise<void> {
    await this.#save({ ...this.#status, ...facts }, durable);
  }

  /** Forgets optional facts. */
  async forget(...keys: readonly ("restartAt" | "launch" | "vmm" | "exit" | "expiresAt")[]): Promise<void> {
    const next = { ...this.#status };
    for (const key of keys) delete next[key];
    await this.#save(next, false);
  }

  /** @throws KilnError failed_precondition `record-damaged`: what can't be read is not written over */
  async setRecord(record: VmRecord): Promise<void> {
    this.requireRecord("change");
    this.#record = record;
    await this.#persist.record(record);
    this.changed.notify();
  }

  /**
   * Refuses what needs all of the record.
   *
   * @param verb for the message: "start"
   * @throws KilnError failed_precondition `record-damaged`
   */
  requireRecord(verb: string): void {
    if (this.recordFlaw === undefined) return;
    throw new KilnError(Code.FailedPrecondition, `cannot ${verb} VM ${this.name}: ${this.recordFlaw}`, {
      reason: "record-damaged",
      hint: "its disk is as it was: repair vm.json in its directory and restart kilnd, use the kiln that wrote it, or remove the VM",
    });
  }

  /** Resolves when everything that was changed so far is on disk. */
  settled(): Promise<void> {
    return this.#writes;
  }

  /** Its lifetime begins when its program first runs: a slow boot takes nothing of it, a reboot adds nothing. */
  #expiry(change: Change): Partial<VmStatus> {
    const { lifetimeMs } = this.#record.config;
    if (change.to !== "running" || lifetimeMs === 0 || this.#status.expiresAt !== undefined) return {};
    return { expiresAt: new Date(Date.parse(change.at) + lifetimeMs).toISOString() };
  }

  /** Memory first, so that nobody sees an old state after a new one; the writes follow in order. */
  #save(next: VmStatus, durable: boolean): Promise<void> {
    this.#status = next;
    this.changed.notify();
    const write = this.#writes.then(() =>
      this.removing ? undefined : this.#persist.status(this.id, next, durable),
    );
    this.#writes = write.catch(() => undefined);
    return write;
  }
}
