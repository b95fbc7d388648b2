// One program beside the main one, for as long as one session with the agent lasts: started, listened to, and brought back
// where its policy says so. All that it comes to is written down before the agent forgets it, so that the next session, or
// the next kilnd, goes on where this one was cut.

import { type GuestProcess, isNotFound, isRefusal } from "../../agent/index.js";
import type { AgentSession } from "../../agent/types.js";
import { anySignal } from "../../base/abort.js";
import { Code, hasReason, KilnError } from "../../base/errors.js";
import { failpoint } from "../../base/failpoint.js";
import type { Logger } from "../../base/log.js";
import { delay } from "../../base/runtime.js";
import { until } from "../common/notifier.js";
import type { AgentRoom } from "../common/rooms.js";
import type { LinkPauses } from "../common/settings.js";
import { within } from "../run/run-end.js";
import { awaitExit, carryOutput, reportedExit, type WatchedProgram } from "../run/watched-program.js";
import { decideRestart, type Verdict } from "../vm/restart-policy.js";
import type { ReportedExit } from "../vm/status.js";
import type { WorkloadEntry } from "./entry.js";
import type { WorkloadStatus } from "./record.js";

export interface Ride {
  readonly entry: WorkloadEntry;
  readonly session: AgentSession;
  /** Aborts with the session. */
  readonly signal: AbortSignal;
  readonly process: GuestProcess;
  readonly pumpLogs: AgentRoom["pumpLogs"];
  readonly log: Logger;
  readonly now: () => number;
  /** What the last output of one that has ended may take. */
  readonly endGraceMs: number;
  /** Between tries of what failed. */
  readonly pauses: LinkPauses;
  /** Its VM is being stopped: nothing is started in it any more. */
  readonly isStopping: () => boolean;
}

/** What becomes of it on the way. */
interface Journey extends Ride {
  /** Tries of the present step that have failed, one after the other. */
  failures: number;
  /** Runs that have ended and that the agent still keeps, since their ends could not be written. */
  readonly owed: Set<string>;
}

const FORGET_MS = 5_000;
/** Odd answers to a start that count as no: some 20 s of them. Whoever waits for it must be told. */
const MOST_STARTS = 9;
/** Docker's code for a program that can't be executed. */
const NOT_EXECUTABLE = 126;

/** Resolves once it has ended for good, or with the session. Never rejects. */
export async function ride(ride: Ride): Promise<void> {
  const { entry, signal, log } = ride;
  const journey: Journey = { ...ride, failures: 0, owed: new Set() };
  /** Once for each cause: a guest must not fill kilnd's log. */
  const told = new Set<string>();
  while (!signal.aborted && !entry.isOver) {
    try {
      await step(journey);
      journey.failures = 0;
      told.clear();
    } catch (error) {
      if (signal.aborted) return;
      const { reason, message } = KilnError.from(error, entry.state);
      if (!told.has(reason)) log.warn("a program beside the main one is not seen to", { why: message });
      told.add(reason);
      await pause(ride, journey.failures++);
    }
  }
}

async function pause({ pauses, signal }: Ride, failures: number): Promise<void> {
  await delay(Math.min(pauses.first * 2 ** failures, pauses.longest), signal).catch(() => undefined);
}

function step(ride: Journey): Promise<void> {
  switch (ride.entry.state) {
    case "starting":
      return start(ride);
    case "running":
      return follow(ride);
    case "restarting":
      return rest(ride);
    case "exited":
      return Promise.resolve();
  }
}

/** A start that is made twice starts nothing twice: the agent knows each run by a name of its own. */
async function start(ride: Journey): Promise<void> {
  const { entry, session, signal, process, failures, owed } = ride;
  let pid: number;
  try {
    pid = await session.workloads.start({ id: entry.agentId, process }, { signal });
  } catch (error) {
    const no = isRefused(error) || failures >= MOST_STARTS;
    if (!signal.aborted && no) return refused(ride, error);
    throw error;
  }
  failpoint("exec.started");
  if (signal.aborted) return;
  if (pid === 0) return follow(ride); // its end says why
  await noted(ride, { state: "running", pid, startedAt: iso(ride), reason: "", message: "" });
  failpoint("exec.running");
  for (const agentId of owed) await forget(ride, agentId);
  owed.clear();
}

/** No word of a way that broke. */
function isRefused(error: unknown): boolean {
  if (isRefusal(error) || hasReason(error, "agent-too-old")) return true;
  return error instanceof KilnError && error.code === Code.ResourceExhausted;
}

async function refused(ride: Journey, error: unknown): Promise<void> {
  const { message } = KilnError.from(error, "start it");
  const finishedAt = iso(ride);
  await finish(ride, { code: NOT_EXECUTABLE, error: message, oomKilled: false, request: "none", finishedAt });
}

async function follow(ride: Journey): Promise<void> {
  const { entry, signal, endGraceMs } = ride;
  const over = new AbortController();
  const watched = watchedOf(ride, anySignal(over.signal, signal));
  const carried = carryOutput(watched);
  try {
    const end = await awaitExit(watched, isUnknown);
    if (end.kind === "lost") return await entry.endUnreported("lost", iso(ride));
    if (end.kind === "cut") return;
    await within(endGraceMs, carried);
    if (signal.aborted) return;
    await (end.exit.withMachine
      ? entry.endUnreported("vm-ended", iso(ride))
      : finish(ride, reportedExit(end.exit)));
  } finally {
    over.abort();
    await carried;
  }
}

function isUnknown(error: unknown): boolean {
  return isNotFound(error) || hasReason(error, "agent-too-old");
}

function watchedOf({ entry, session, pumpLogs, log }: Ride, signal: AbortSignal): WatchedProgram {
  const calls = session.workloads.get(entry.agentId);
  return { calls, output: entry.output, pumpLogs, log, signal, isCurrent: () => !signal.aborted };
}

async function finish(ride: Journey, report: ReportedExit): Promise<void> {
  const { entry, owed } = ride;
  const { agentId } = entry;
  const notStarted = report.error !== "";
  const facts = {
    pid: 0,
    exitCode: report.code,
    oomKilled: report.oomKilled,
    finishedAt: report.finishedAt,
    reason: notStarted ? "program-not-started" : "program-exited",
    message: report.error,
  };
  // A first start fails to its caller's face.
  const verdict = notStarted && entry.status.run === 1 ? NO_RESTART : verdictOn(ride, report);
  if (verdict.restart) {
    const restartAt = new Date(ride.now() + verdict.delayMs).toISOString();
    const delayed = { restartAt, restartDelayMs: verdict.delayMs };
    const kept = await noted(ride, { ...facts, state: "restarting", ...delayed });
    if (!kept) return void owed.add(agentId);
  } else {
    const kept = await noted(ride, { ...facts, state: "exited" }, true);
    await entry.output.end();
    if (!kept && !(await endKept(ride))) return;
  }
  failpoint("exec.ended");
  await forget(ride, agentId);
}

/** Only its agent knows how it ended, besides this kilnd. @returns false where the session was over before there was room */
async function endKept(ride: Journey): Promise<boolean> {
  for (let failures = 0; !ride.signal.aborted; failures++) {
    await pause(ride, failures);
    const written = ride.entry.note({}, true).then(() => true);
    if (await written.catch(() => false)) return true;
  }
  return false;
}

/** Where it is not heard, the next kilnd finds one that is over, and says it again. */
async function forget({ session, log }: Ride, agentId: string): Promise<void> {
  await session.workloads.forget(agentId, { timeoutMs: FORGET_MS }).catch((error: unknown) => {
    log.debug("the agent can't be told to forget a program", { why: KilnError.from(error).message });
  });
}

const NO_RESTART: Verdict = { restart: false };

function verdictOn(ride: Ride, report: ReportedExit): Verdict {
  const { status, record, recordFlaw } = ride.entry;
  if (recordFlaw !== undefined) return NO_RESTART;
  return decideRestart({
    policy: record.restart,
    exitCode: report.code,
    restartCount: status.restartCount,
    stoppedByUser: status.stoppedByUser,
    ranMs: ranMs(ride, report),
    previousDelayMs: status.restartDelayMs,
  });
}

/** What was not started has not run, however long ago the run before it began: else its back-off would begin anew each time. */
function ranMs({ entry, now }: Ride, { error }: ReportedExit): number {
  const { startedAt } = entry.status;
  return startedAt === undefined || error !== "" ? 0 : Math.max(0, now() - Date.parse(startedAt));
}

/** Between two runs. Whoever ends it meanwhile changes its state. */
async function rest(ride: Ride): Promise<void> {
  const { entry, signal } = ride;
  const { restartAt = "", restartDelayMs, run, restartCount } = entry.status;
  const awake = new AbortController();
  const either = anySignal(awake.signal, signal);
  // No longer than it was to wait, though the clock was set back meanwhile.
  const left = Math.min(restartDelayMs, Math.max(0, (Date.parse(restartAt) || 0) - ride.now()));
  const ended = until(entry.changed, () => (entry.state === "restarting" ? undefined : true), either);
  await Promise.race([delay(left, either), ended]).catch(() => undefined);
  // An init ends what runs beside it with a signal, and what came back would be in the way of its own end.
  if (ride.isStopping()) await ended.catch(() => undefined);
  awake.abort();
  await ended.catch(() => undefined);
  if (signal.aborted || entry.state !== "restarting") return;
  await entry.output.begin(run + 1);
  if (signal.aborted || entry.state !== "restarting") return;
  await noted(ride, { state: "starting", run: run + 1, restartCount: restartCount + 1 });
  failpoint("exec.restarting");
}

/** What can't be written down (a full disk) keeps no program from going on. @returns true where it is on disk */
async function noted(
  { entry, log }: Ride,
  facts: Partial<WorkloadStatus>,
  durable = false,
): Promise<boolean> {
  try {
    await entry.note(facts, durable);
    return true;
  } catch (error) {
    log.error("what became of a program can't be written", { why: KilnError.from(error).message });
    return false;
  }
}

function iso({ now }: Ride): string {
  return new Date(now()).toISOString();
}
