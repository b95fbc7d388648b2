// Attaching to the main program: its output from the log on disk (so any number may attach, and a slow one holds
// nobody up), its input straight to the agent. Leaving does nothing to the program.

import { anySignal } from "../../base/abort.js";
import { hasReason } from "../../base/errors.js";
import { interleave } from "../common/interleave.js";
import type { OutputPlace } from "../output/log-position.js";
import type { LogChunk } from "../output/vm-log.js";
import type { EngineContext } from "../run/context.js";
import { farewell, follow } from "../run/followers.js";
import { waitForLive } from "../run/vm-access.js";
import type { VmVerbs } from "../run/vm-verbs.js";
import type { VmEntry } from "../vm/entry.js";
import { requireState } from "../vm/state.js";
import { AttachedInput } from "./attached-input.js";
import type { AttachOutput, AttachSpec, ProcessInput } from "./process-io.js";
import { stallTeller } from "./vm-exec.js";

/**
 * @throws KilnError failed_precondition `vm-<state>` where it does not run and `start` is not asked; where nobody takes a
 * signal that asks for the end, deadline_exceeded `agent-silent` or why it was refused
 */
export async function* attachToVm(
  ctx: EngineContext,
  verbs: VmVerbs,
  entry: VmEntry,
  spec: AttachSpec,
  input: AsyncIterable<ProcessInput>,
  signal: AbortSignal | undefined,
): AsyncGenerator<AttachOutput> {
  if (!spec.start && spec.resume === undefined) {
    requireState("attach to", entry.name, entry.state, ["running", "paused", "starting", "stopping"]);
  }
  const gone = new AbortController();
  const stop = anySignal(gone.signal, signal);
  const release = await follow(ctx, entry);
  try {
    if (!entry.log.live) await waitForLive(entry, signal);
    const place = spec.resume?.after ?? (spec.logs || spec.resume !== undefined ? BEGINNING : endOf(entry));
    const from =
      spec.resume === undefined && !spec.logs
        ? await entry.log.endPosition()
        : await entry.log.placeOf(place);
    yield { kind: "attached" };
    if (asksForStart(entry, spec)) {
      if (spec.id !== "") yield { kind: "starting", next: place };
      await start(verbs, entry);
    }
    const stdin = new AttachedInput(ctx, verbs, entry, spec, stop);
    await stdin.begin(input);
    const outputs = outputOf(entry.log.read({ from, follow: true, signal: stop }));
    const stalled = stallTeller(entry);
    let next = place;
    const news = () => {
      stdin.unheard.throwIfAborted();
      return stdin.news() ?? stalled();
    };
    for await (const item of interleave<Beside>(outputs, [entry.changed, stdin.took], news)) {
      if (item.kind === "output") next = item.next;
      yield item.kind === "resumable" ? { ...item, next, stdinUnwanted: !takesStdin(entry, spec) } : item;
    }
    await verbs.wait(entry, "exited", { signal: AbortSignal.any([stop, stdin.unheard]) });
    yield { kind: "exit", code: entry.status.exitCode };
    if (spec.id !== "") await farewell(signal, stdin.said);
  } finally {
    release();
    gone.abort();
  }
}

/** What comes of a run: all but where it goes on is said by the one who tells it. */
type Beside =
  | Exclude<AttachOutput, { kind: "resumable" }>
  | { readonly kind: "resumable"; readonly stdinNext: bigint };

const BEGINNING: OutputPlace = { boot: 0, sequence: 0n };

/** Where the output ends now. Of one that does not run: where its next boot begins. */
function endOf({ log, status }: VmEntry): OutputPlace {
  if (log.live) return { boot: status.boot, sequence: log.nextSequence };
  return { boot: status.boot + 1, sequence: 0n };
}

async function* outputOf(chunks: AsyncIterable<LogChunk>): AsyncGenerator<Beside> {
  for await (const { stream, data, next } of chunks) yield { kind: "output", stream, data, next };
}

/** False: what comes is dropped. */
function takesStdin({ record }: VmEntry, spec: AttachSpec): boolean {
  return spec.stdin && record.config.openStdin;
}

/** Of one that goes on: not where that boot has begun, or where it ran before and it is not known which one is meant. */
function asksForStart({ state, status }: VmEntry, spec: AttachSpec): boolean {
  if (!spec.start || spec.resume === undefined) return spec.start;
  const { after } = spec.resume;
  return after === undefined ? state === "created" : status.boot < after.boot;
}

/** A program that can't be executed is an exit (126, 127) to whoever is attached, not a failure to attach. */
async function start(verbs: VmVerbs, entry: VmEntry): Promise<void> {
  try {
    await verbs.start(entry);
  } catch (error) {
    if (!hasReason(error, "program-not-started")) throw error;
  }
}
