// What is asked about a program in a guest for as long as a session lasts, whichever program it is: its output is carried
// to its log, and its end is waited for.

import { performance } from "node:perf_hooks";
import type { ProgramEnd, WorkloadCalls } from "../../agent/index.js";
import { KilnError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import { delay } from "../../base/runtime.js";
import type { AgentRoom } from "../common/rooms.js";
import type { LogRecord } from "../output/log-format.js";
import type { VmLog } from "../output/vm-log.js";
import type { ReportedExit } from "../vm/status.js";

export interface WatchedProgram {
  readonly calls: WorkloadCalls;
  readonly output: VmLog;
  readonly pumpLogs: AgentRoom["pumpLogs"];
  readonly log: Logger;
  /** Aborts when nobody watches it any more. */
  readonly signal: AbortSignal;
  /** False once its session is over: whoever has the next one asks anew. */
  readonly isCurrent: () => boolean;
}

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;

/**
 * Until the program, the session or the watching ends. Where storing fails (a full disk, an agent that lies) it begins
 * again after a pause on the same session: execs and published ports must not suffer for it.
 *
 * @returns true once every byte is stored
 */
export async function carryOutput(program: WatchedProgram): Promise<boolean> {
  const { calls, output, pumpLogs, log, signal } = program;
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    const from = output.nextSequence;
    try {
      await output.ready();
      const store = (records: readonly LogRecord[]) => {
        tellOfLost(records, output, log);
        return output.append(records);
      };
      await pumpLogs(calls, output.nextSequence, store, { signal });
      return true;
    } catch (error) {
      if (signal.aborted || !program.isCurrent()) return false;
      if (output.nextSequence > from) pause = FIRST_PAUSE_MS;
      // Once for each shortage, not once for each try.
      if (pause === FIRST_PAUSE_MS) {
        tell(output, () =>
          log.warn("the output of the VM can't be stored", { why: KilnError.from(error).message }),
        );
      }
    }
    await delay(pause, signal).catch(() => undefined);
  }
}

const TELL_AGAIN_MS = 60_000;
/** When it was last said: a guest can bring that about at any time, and must not fill kilnd's log. */
const told = new WeakMap<VmLog, number>();

function tell(output: VmLog, say: () => void): void {
  const now = performance.now();
  if (now - (told.get(output) ?? Number.NEGATIVE_INFINITY) < TELL_AGAIN_MS) return;
  told.set(output, now);
  say();
}

/** Its agent has forgotten what was stored once: where that is not on disk any more, nobody has it. */
function tellOfLost([first]: readonly LogRecord[], output: VmLog, log: Logger): void {
  const missing = (first?.sequence ?? 0n) - output.nextSequence;
  if (missing <= 0n) return;
  tell(output, () => log.warn("output that was stored is not on disk any more", { bytes: String(missing) }));
}

/** `lost`: the agent knows no such program; `cut`: session or watching ended before it. */
export type WatchedEnd =
  | { readonly kind: "exit"; readonly exit: ProgramEnd }
  | { readonly kind: "lost" }
  | { readonly kind: "cut" };

/**
 * Until its end is known, or the session or the watching ends: a call that broke alone leaves its session, and is made
 * again.
 *
 * @param isLost tells an answer that no program will ever come of
 */
export async function awaitExit(
  program: WatchedProgram,
  isLost: (error: unknown) => boolean = () => false,
): Promise<WatchedEnd> {
  const { calls, log, signal } = program;
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    try {
      const exit = await calls.wait({ signal });
      if (exit !== undefined) return { kind: "exit", exit };
    } catch (error) {
      log.debug("waiting for the program's end was cut", { why: KilnError.from(error).message });
      if (!signal.aborted && isLost(error)) return { kind: "lost" };
    }
    // The next session asks for itself. The VMM's own end is watched elsewhere.
    if (signal.aborted || !program.isCurrent()) return { kind: "cut" };
    await delay(pause, signal).catch(() => undefined);
  }
}

export function reportedExit({ code, error, oomKilled, request }: ProgramEnd): ReportedExit {
  return { code, error, oomKilled, request, finishedAt: new Date().toISOString() };
}
