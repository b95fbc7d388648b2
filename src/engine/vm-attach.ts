// Attaching to the main program: its output from the log on disk (so any number may attach, and a slow one holds
// nobody up), its input straight to the agent. Leaving does nothing to the program.

import type { MessageInitShape } from "@bufbuild/protobuf";
import { hasReason, KilnError } from "../base/errors.js";
import type { StdinRequestSchema } from "../gen/kiln/agent/v1/agent_pb.js";
import { fromAgent } from "./agent-errors.js";
import { type EngineContext, vmLogger } from "./context.js";
import type { LogStream } from "./log-format.js";
import { START } from "./log-position.js";
import { requireLive, runningSession } from "./vm-access.js";
import type { VmEntry } from "./vm-entry.js";
import type { ProcessInput } from "./vm-exec.js";
import { requireState } from "./vm-state.js";
import type { VmVerbs } from "./vm-verbs.js";

export interface AttachSpec {
  /** Carry stdin. */
  readonly stdin: boolean;
  /** Replay what was written before. */
  readonly logs: boolean;
  /** Start the VM once attached. */
  readonly start: boolean;
}

export type AttachOutput =
  | { readonly kind: "attached" }
  | { readonly kind: "output"; readonly stream: LogStream; readonly data: Uint8Array }
  | { readonly kind: "exit"; readonly code: number };

/**
 * @throws KilnError failed_precondition `vm-<state>` where it does not run and `start` is not asked
 */
export async function* attachToVm(
  ctx: EngineContext,
  verbs: VmVerbs,
  entry: VmEntry,
  spec: AttachSpec,
  input: AsyncIterable<ProcessInput>,
  signal: AbortSignal | undefined,
): AsyncGenerator<AttachOutput> {
  if (!spec.start) {
    requireState("attach to", entry.name, entry.state, ["running", "paused", "starting", "stopping"]);
  }
  const gone = new AbortController();
  const stop = signal === undefined ? gone.signal : AbortSignal.any([gone.signal, signal]);
  const release = entry.log.hold();
  try {
    const from = spec.logs ? START : await entry.log.endPosition();
    yield { kind: "attached" };
    await startIfAsked(verbs, entry, spec);
    void carryInput(ctx, verbs, entry, spec, input, stop);
    for await (const { stream, data } of entry.log.read({ from, follow: true, signal })) {
      yield { kind: "output", stream, data };
    }
    await verbs.wait(entry, "exited", { signal });
    yield { kind: "exit", code: entry.status.exitCode };
  } finally {
    release();
    gone.abort();
  }
}

/** A program that can't be executed is an exit (126, 127) to whoever is attached, not a failure to attach. */
async function startIfAsked(verbs: VmVerbs, entry: VmEntry, spec: AttachSpec): Promise<void> {
  if (!spec.start) return;
  try {
    await verbs.start(entry);
  } catch (error) {
    if (!hasReason(error, "program-not-started")) throw error;
  }
}

async function carryInput(
  ctx: EngineContext,
  verbs: VmVerbs,
  entry: VmEntry,
  spec: AttachSpec,
  input: AsyncIterable<ProcessInput>,
  signal: AbortSignal,
): Promise<void> {
  const wanted = spec.stdin && entry.record.config.openStdin;
  try {
    const chunks = stdinOf(ctx, verbs, entry, input, wanted);
    if (!wanted) {
      for await (const _ of chunks); // resizes and signals only
      return;
    }
    const session = await runningSession(entry, "write to", signal);
    await session.client.stdin(chunks, { signal });
  } catch (error) {
    // The program has ended or the client has left: both are normal ends of an attach.
    const why = fromAgent(error, "carry stdin").message;
    vmLogger(ctx, entry).debug("input to the program ended", { why });
  }
}

async function* stdinOf(
  ctx: EngineContext,
  verbs: VmVerbs,
  entry: VmEntry,
  input: AsyncIterable<ProcessInput>,
  wanted: boolean,
): AsyncGenerator<MessageInitShape<typeof StdinRequestSchema>> {
  for await (const item of input) {
    if (item.kind === "stdin") {
      if (wanted) yield { data: item.data };
    } else if (item.kind === "stdin-eof") {
      if (wanted) yield { eof: true };
    } else {
      await control(verbs, entry, item).catch((error: unknown) => {
        vmLogger(ctx, entry).debug(`${item.kind} refused`, { why: KilnError.from(error).message });
      });
    }
  }
}

async function control(
  verbs: VmVerbs,
  entry: VmEntry,
  item: Exclude<ProcessInput, { kind: "stdin" | "stdin-eof" }>,
) {
  if (item.kind === "signal") return verbs.signal(entry, item.signal);
  const session = requireLive(entry, "resize", ["running"]).link.current;
  await session?.client.resize({ window: { columns: item.columns, rows: item.rows } }, { timeoutMs: 5_000 });
}
