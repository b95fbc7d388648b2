// The programs beside the main one of one VM: those that run, and the last of those that have ended.

import { randomBytes } from "node:crypto";
import type { GuestProcess } from "../../agent/index.js";
import { Code, KilnError } from "../../base/errors.js";
import type { KeyedLock } from "../../base/lock.js";
import type { Logger } from "../../base/log.js";
import { UndoStack } from "../../base/undo.js";
import type { AgentRoom } from "../common/rooms.js";
import type { LinkPauses, LogLimits } from "../common/settings.js";
import { VmLog } from "../output/vm-log.js";
import type { VmEntry } from "../vm/entry.js";
import { isLive } from "../vm/state.js";
import { Attendance } from "./attendance.js";
import { WorkloadEntry, workloadNotFound } from "./entry.js";
import { type TellOfExec, tellOfRuns } from "./exec-events.js";
import { lostRecord, startingStatus, type WorkloadRecord } from "./record.js";
import { type LoadedWorkload, WORKLOAD_ID, WorkloadStore } from "./store.js";

/** Fewer than an agent keeps: some of those have ended and are not forgotten yet. */
const MOST_RUNNING = 32;
const MOST_ENDED = 32;

export interface SetOptions {
  readonly vm: VmEntry;
  readonly vmDirectory: string;
  readonly lock: KeyedLock;
  readonly log: Logger;
  readonly logLimits: LogLimits;
  readonly pumpLogs: AgentRoom["pumpLogs"];
  readonly endGraceMs: number;
  readonly pauses: LinkPauses;
  readonly now: () => number;
  readonly tell: TellOfExec;
  readonly processOf: (vm: VmEntry, record: WorkloadRecord) => GuestProcess;
}

/** What is asked of a new one. */
export type NewWorkload = Pick<
  WorkloadRecord,
  "args" | "env" | "user" | "workdir" | "tty" | "columns" | "rows" | "restart"
>;

export class WorkloadSet {
  readonly #options: SetOptions;
  readonly #store: WorkloadStore;
  readonly #entries = new Map<string, WorkloadEntry>();
  #making = 0;
  #attendance: Attendance | undefined;

  constructor(options: SetOptions) {
    this.#options = options;
    this.#store = new WorkloadStore(options.vmDirectory, options.log);
  }

  /** By their making. */
  list(): WorkloadEntry[] {
    const rank = ({ record, id }: WorkloadEntry) => `${record.createdAt} ${id}`;
    return [...this.#entries.values()].sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
  }

  /** Reads what is on disk. What may still run is for its agent to say; everything else has ended with its VM. */
  async load(): Promise<void> {
    const { vm } = this.#options;
    for (const loaded of await this.#store.load()) {
      const entry = this.#add(loaded);
      if (entry.isOver) continue;
      const { boot } = entry.record;
      const mayRun = isLive(vm.state) && (boot === 0 || boot >= vm.status.boot);
      await (mayRun ? this.#listen(entry) : this.#end(entry));
    }
    await this.#prune();
  }

  /** A VMM of the VM is here. */
  attend(): Attendance {
    const { vm, pumpLogs, log, now, endGraceMs, pauses, processOf } = this.#options;
    this.#attendance = new Attendance({
      ...{ pumpLogs, log, now, endGraceMs, pauses },
      list: () => this.list(),
      takeIn: (id, run, pid) => this.#takeIn(id, run, pid),
      processOf: (record) => processOf(vm, record),
      isStopping: () => vm.state === "stopping",
      onOver: () => void this.#prune(),
    });
    return this.#attendance;
  }

  /** kilnd goes: what runs goes on, and its output with the next one. What is known of each is on disk then. */
  async detach(): Promise<void> {
    await Promise.all(
      this.list().map(async (entry) => {
        await entry.output.detach();
        await entry.settled();
      }),
    );
  }

  /** The VMM is gone, and with it all that ran. */
  async ended(): Promise<void> {
    const attendance = this.#attendance;
    this.#attendance = undefined;
    await attendance?.release();
    for (const entry of this.list()) if (!entry.isOver) await this.#end(entry);
    await this.#prune();
  }

  /**
   * Makes one, and begins to start it.
   *
   * @throws KilnError resource_exhausted `too-many-execs`, `host-disk-full`, failed_precondition `vm-exited`; of the file system
   */
  async start(asked: NewWorkload): Promise<WorkloadEntry> {
    const { vm, now } = this.#options;
    this.#requireRoom();
    const attendance = this.#attendance;
    // Before its files: the VM's directory may be gone.
    if (attendance === undefined) throw hasEnded(vm);
    await using undo = new UndoStack();
    this.#making++;
    undo.push("give its place back", () => void this.#making--);
    const { boot } = vm.status;
    const id = randomBytes(16).toString("hex");
    const record = { version: 1, id, createdAt: new Date(now()).toISOString(), boot, ...asked };
    const refuse = (error: unknown): never => {
      throw KilnError.from(error, `start a program in VM ${vm.name}`);
    };
    const status = await this.#store.create(record).catch(refuse);
    undo.push("remove its files", () => this.#store.objects.remove(id));
    const entry = this.#make({ record, status, recordFlaw: undefined });
    undo.push("close its output", () => entry.output.end());
    await entry.output.begin(status.run).catch(refuse);
    if (attendance.released || vm.status.boot !== boot) throw hasEnded(vm);
    this.#entries.set(id, entry);
    this.#making--;
    undo.commit();
    attendance.take(entry);
    return entry;
  }

  /** Takes one away that is over. @throws KilnError not_found `exec-not-found` where another was quicker */
  async remove(entry: WorkloadEntry): Promise<void> {
    const isHere = this.#entries.get(entry.id) === entry && !entry.removing;
    if (!isHere) throw workloadNotFound(entry.shortId, this.#options.vm.name);
    await this.drop(entry);
  }

  /** The same for nobody who asked for it: fine where it is gone. */
  async drop(entry: WorkloadEntry): Promise<void> {
    if (this.#entries.get(entry.id) !== entry || entry.removing) return;
    entry.removing = true;
    await entry.settled();
    try {
      await this.#store.objects.remove(entry.id, () => {
        this.#entries.delete(entry.id);
        entry.removed = true;
        entry.changed.notify();
      });
    } finally {
      // Where its directory can't be moved away it is there as it was.
      if (!entry.removed) entry.removing = false;
    }
  }

  #requireRoom(): void {
    const { vm } = this.#options;
    const running = this.list().filter(({ isOver }) => !isOver).length + this.#making;
    if (running < MOST_RUNNING) return;
    throw new KilnError(
      Code.ResourceExhausted,
      `start one more program in VM ${vm.name}: ${running} run there beside its own already`,
      {
        reason: "too-many-execs",
        hint: `\`kiln execs ${vm.name}\` lists them; end one: \`kiln kill --exec ID ${vm.name}\``,
      },
    );
  }

  #add(loaded: LoadedWorkload): WorkloadEntry {
    const entry = this.#make(loaded);
    this.#entries.set(entry.id, entry);
    return entry;
  }

  #make(loaded: LoadedWorkload): WorkloadEntry {
    const { lock, logLimits, now, tell } = this.#options;
    const output = new VmLog(this.#store.logDirectory(loaded.record.id), logLimits, now);
    const entry = new WorkloadEntry(this.#store, lock, loaded, output);
    tellOfRuns(entry, tell);
    return entry;
  }

  async #takeIn(id: string, run: number, pid: number): Promise<WorkloadEntry | undefined> {
    const { vm, now, log } = this.#options;
    if (!WORKLOAD_ID.test(id) || this.list().filter(({ isOver }) => !isOver).length >= 2 * MOST_RUNNING)
      return;
    const createdAt = new Date(now()).toISOString();
    const record = { ...lostRecord(id), createdAt, boot: vm.status.boot };
    log.warn("a program runs in the VM of which nothing is on record", { exec: id.slice(0, 12) });
    const status = { ...startingStatus(), state: "running" as const, run, pid };
    const entry = this.#add({ record, status, recordFlaw: "its record is lost" });
    // Without its files it is seen to all the same; the next kilnd takes it in anew.
    await this.#store.create(record).catch((error: unknown) => {
      this.#complain(entry, "the record of a program can't be written", error);
    });
    await entry.note({}).catch(() => undefined);
    await this.#listen(entry);
    vm.changed.notify();
    return entry;
  }

  async #listen(entry: WorkloadEntry): Promise<void> {
    await entry.output.begin(entry.status.run).catch((error: unknown) => {
      this.#complain(entry, "the output of a program can't be stored", error);
    });
  }

  async #end(entry: WorkloadEntry): Promise<void> {
    const at = new Date(this.#options.now()).toISOString();
    await entry.endUnreported("vm-ended", at).catch((error: unknown) => {
      this.#complain(entry, "the end of a program can't be written", error);
    });
  }

  /** Forgets the oldest of those that are over. One whose output is being read goes with a later one: its reader must see the end. */
  async #prune(): Promise<void> {
    const ended = this.list().filter(({ isOver }) => isOver);
    const finished = ({ status }: WorkloadEntry) => status.finishedAt ?? "";
    ended.sort((a, b) => (finished(a) < finished(b) ? 1 : -1));
    for (const entry of ended.slice(MOST_ENDED).filter(({ output }) => !output.isRead)) {
      await this.drop(entry).catch((error: unknown) => {
        this.#complain(entry, "an old program's files can't be removed", error);
      });
    }
  }

  #complain(entry: WorkloadEntry, what: string, error: unknown): void {
    this.#options.log.error(what, { exec: entry.shortId, why: KilnError.from(error).message });
  }
}

function hasEnded({ name }: VmEntry): KilnError {
  return new KilnError(Code.FailedPrecondition, `cannot exec in VM ${name}: it has ended`, {
    reason: "vm-exited",
    hint: `start it: \`kiln start ${name}\``,
  });
}
