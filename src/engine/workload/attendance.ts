// The programs beside the main one of one VM while its VMM is held: with each session with the agent they are gone on with.

import type { GuestProcess, WorkloadSummary } from "../../agent/index.js";
import type { AgentSession } from "../../agent/types.js";
import { anySignal } from "../../base/abort.js";
import { KilnError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import { until } from "../common/notifier.js";
import type { AgentRoom } from "../common/rooms.js";
import type { LinkPauses } from "../common/settings.js";
import type { Companion } from "../run/companion.js";
import { parseAgentId, type WorkloadEntry } from "./entry.js";
import type { WorkloadRecord } from "./record.js";
import { ride } from "./ride.js";

export interface AttendanceOptions {
  readonly list: () => readonly WorkloadEntry[];
  /** Takes in one that runs and that no file tells of. */
  readonly takeIn: (id: string, run: number, pid: number) => Promise<WorkloadEntry | undefined>;
  readonly processOf: (record: WorkloadRecord) => GuestProcess;
  readonly pumpLogs: AgentRoom["pumpLogs"];
  readonly log: Logger;
  readonly now: () => number;
  readonly endGraceMs: number;
  readonly pauses: LinkPauses;
  readonly isStopping: () => boolean;
  readonly onOver: () => void;
}

interface Served {
  readonly session: AgentSession;
  readonly signal: AbortSignal;
  /** Those that are gone on with. */
  readonly ridden: Set<WorkloadEntry>;
}

const LIST_MS = 5_000;
/** As many as an agent of ours keeps: one that finds ever more of them is somebody else's. */
const MOST_TAKEN_IN = 64;

export class Attendance implements Companion {
  readonly #options: AttendanceOptions;
  readonly #stop = new AbortController();
  readonly #tasks = new Set<Promise<void>>();
  #served: Served | undefined;
  #reconciled = false;
  #takenIn = 0;

  constructor(options: AttendanceOptions) {
    this.#options = options;
  }

  get released(): boolean {
    return this.#stop.signal.aborted;
  }

  serve(session: AgentSession): void {
    const lost = new AbortController();
    void session.closed.then(() => lost.abort());
    const served = { session, signal: anySignal(lost.signal, this.#stop.signal), ridden: new Set([]) };
    this.#served = served;
    if (this.#reconciled) this.#takeAll(served);
    else this.#track(this.#reconcile(served).then(() => this.#takeAll(served)));
  }

  /** Goes on with one; where there is no session, with the next one. */
  take(entry: WorkloadEntry): void {
    const served = this.#served;
    if (served === undefined || entry.isOver || served.ridden.has(entry)) return;
    served.ridden.add(entry);
    const { session, signal } = served;
    const { processOf, pumpLogs, log, now, endGraceMs, pauses, isStopping, onOver } = this.#options;
    const process = processOf(entry.record);
    const task = ride({
      ...{ session, signal, entry, process, pumpLogs, now, endGraceMs, pauses, isStopping },
      log: log.with({ exec: entry.shortId }),
    });
    this.#track(task.then(() => (entry.isOver ? onOver() : undefined)));
  }

  async lastWords(): Promise<void> {
    const served = this.#served;
    if (served === undefined || this.#options.list().every(({ isOver }) => isOver)) return;
    const { session, signal } = served;
    try {
      const listed = await session.workloads.list({ signal, timeoutMs: LIST_MS });
      await Promise.all(listed.map((one) => this.#stored(one, signal)));
    } catch (error) {
      this.#options.log.debug("what programs said last is not known", { why: KilnError.from(error).message });
    }
  }

  async release(): Promise<void> {
    this.#stop.abort();
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
  }

  #takeAll(served: Served): void {
    if (this.#served !== served) return;
    for (const entry of this.#options.list()) this.take(entry);
  }

  async #stored({ id, nextSequence, exit }: WorkloadSummary, signal: AbortSignal): Promise<void> {
    const entry = this.#options.list().find(({ agentId }) => agentId === id);
    if (entry?.state !== "running") return;
    if (exit === undefined) await entry.output.stored(nextSequence, signal);
    else await until(entry.changed, () => (entry.state === "running" ? undefined : true), signal);
  }

  /** Once for each VMM: what the agent has kept of an earlier kilnd's is gone on with or forgotten. */
  async #reconcile({ session, signal }: Served): Promise<void> {
    const { log } = this.#options;
    try {
      if (!(await session.features.has("workloads", { signal }))) return;
      const listed = await session.workloads.list({ signal, timeoutMs: LIST_MS });
      const extra = listed.filter(({ kind }) => kind === "extra");
      // The last run of each first: its id ends with the number of the run.
      extra.sort((a, b) => (a.id < b.id ? 1 : -1));
      for (const one of extra) await this.#adopt(one, session);
      this.#reconciled = true;
    } catch (error) {
      if (!signal.aborted) {
        log.debug("what runs beside the program is not known", { why: KilnError.from(error).message });
      }
    }
  }

  async #adopt({ id: agentId, pid }: WorkloadSummary, session: AgentSession): Promise<void> {
    const named = parseAgentId(agentId);
    if (named === undefined) return;
    const known = this.#options.list().find(({ id }) => id === named.id);
    if (known === undefined) {
      if (this.#takenIn >= MOST_TAKEN_IN) return;
      this.#takenIn++;
      const found = await this.#options.takeIn(named.id, named.run, pid);
      if (found !== undefined) this.take(found);
    } else if (!known.isOver && named.run > known.status.run) {
      await this.#catchUp(known, named.run, pid);
    } else if (known.isOver || known.agentId !== agentId) {
      await session.workloads.forget(agentId, { timeoutMs: LIST_MS });
    }
  }

  /** The last kilnd could not write down that it had started it again. */
  async #catchUp(entry: WorkloadEntry, run: number, pid: number): Promise<void> {
    const log = this.#options.log.with({ exec: entry.shortId });
    const tell = (error: unknown) =>
      log.error("what became of a program can't be written", { why: KilnError.from(error).message });
    await entry.note({ state: "running", run, pid }).catch(tell);
    await entry.output.begin(run).catch(tell);
  }

  #track(task: Promise<void>): void {
    const tracked = task.finally(() => this.#tasks.delete(tracked));
    this.#tasks.add(tracked);
  }
}
