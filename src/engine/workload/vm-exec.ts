// Programs started beside the main one. Bytes are passed through as they come: back-pressure reaches from the
// client's socket to the program in the guest and back, nothing is collected here.

import type { ExecWord, GuestProcess } from "../../agent/index.js";
import type { AgentSession } from "../../agent/types.js";
import { onAbort } from "../../base/abort.js";
import { Code, KilnError } from "../../base/errors.js";
import { type Deferred, deferred, NOT_NEEDED } from "../../base/runtime.js";
import { interleave } from "../common/interleave.js";
import { signalNumber } from "../common/signals.js";
import { type EngineContext, vmLogger } from "../run/context.js";
import { farewell } from "../run/followers.js";
import { runningSession, stallOf } from "../run/vm-access.js";
import { rlimitsOf } from "../vm/boot-plan.js";
import type { VmEntry } from "../vm/entry.js";
import { setVariable } from "../vm/plan.js";
import type { VmState } from "../vm/state.js";
import { checkWord } from "../vm/validate.js";
import { notHeard } from "./attached-signals.js";
import { GuestVigil } from "./guest-vigil.js";
import type { ExecAsk, ExecOutput, ExecSpec, ProcessInput } from "./process-io.js";

/**
 * Starts a program, or goes on with one, and carries its input and output until it ends. A caller who leaves (the
 * signal) ends it, unless detached; a kilnd that goes does not where it has an id.
 *
 * @throws KilnError failed_precondition `vm-<state>`, `vm-stalled`; invalid_argument `no-command`; unavailable
 * `agent-unreachable`; not_found `exec-not-found`; once it was asked to end, deadline_exceeded `agent-silent`, aborted
 * `program-starved`
 */
export async function* execInVm(
  ctx: EngineContext,
  entry: VmEntry,
  ask: ExecAsk,
  input: AsyncIterable<ProcessInput>,
  signal: AbortSignal | undefined,
): AsyncGenerator<ExecOutput> {
  const what = `exec in VM ${entry.name}`;
  if (ask.kind === "start") checkExec(entry, ask.spec);
  const session = await runningSession(entry, "exec in", signal).catch((error: unknown) => {
    throw ask.kind === "resume" && !KEEPS_EXECS.includes(entry.state) ? endedUnder(entry, error) : error;
  });
  const call = new AbortController();
  const heard = deferred<void>();
  const said = deferred<void>();
  // Cut off by a kilnd that goes. The agent must hear no end of this call then, which would be the end of stdin and let it
  // forget the exec: to abort a call ends its words in order first. It breaks with its session.
  const stays = () => ctx.leaving.aborted && idOf(ask) !== "";
  const leave = () => {
    if (stays()) return;
    sayLeft(ctx, entry, session, idOf(ask));
    call.abort();
  };
  let deaf: unknown;
  const over = new AbortController();
  const vigil = new GuestVigil({
    hear: (ms) => session.ping(ms),
    heardMs: ctx.settings.heardMs,
    mayListen: () => entry.state !== "paused" || stallOf(entry) !== undefined,
    onDeaf: (why) => {
      deaf = why;
      call.abort();
    },
    signal: over.signal,
  });
  const onSignal = (name: string) => vigil.sent(name);
  using _ = onAbort(signal, leave);
  try {
    const asked =
      idOf(ask) === ""
        ? requests(entry, ask, input, onSignal)
        : lasting(requests(entry, ask, input, onSignal), said, heard.promise, ctx.leaving);
    const outputs: AsyncIterable<ExecOutput> = session.execs.run(asked, { signal: call.signal });
    for await (const output of interleave(outputs, [entry.changed], stallTeller(entry))) {
      yield output;
      if (output.kind !== "exit" || idOf(ask) === "") continue;
      await farewell(signal, said.promise);
      if (!stays()) heard.resolve(); // half-closes: the agent may forget it
    }
  } catch (error) {
    signal?.throwIfAborted();
    const known = deaf === undefined ? failureOf(entry, what, error) : notHeard(entry, "exec in", deaf);
    if (ask.kind === "resume" && known.code === Code.NotFound) throw notKept(entry, known);
    throw known;
  } finally {
    over.abort(NOT_NEEDED);
    if (stays()) void session.closed.then(() => heard.resolve());
    else heard.resolve();
  }
}

/** @throws KilnError invalid_argument `no-command`, `bad-argument` */
export function checkExec({ name }: VmEntry, { args, env, user, workdir }: ExecSpec): void {
  if ((args[0] ?? "") === "") {
    throw new KilnError(Code.InvalidArgument, `exec in VM ${name}: no command was given`, {
      reason: "no-command",
    });
  }
  for (const word of [...args, ...env, user, workdir]) checkWord(word);
}

/** How long the agent is tried to be told of a caller that has left; its own time ends the exec otherwise. */
const END_EXEC_MS = 5_000;

/** Said, not only cut off: a cut looks to the agent as the end of a kilnd does. */
function sayLeft(ctx: EngineContext, entry: VmEntry, { execs }: AgentSession, id: string): void {
  if (id === "") return;
  execs.end(id, { timeoutMs: END_EXEC_MS }).catch((error: unknown) => {
    vmLogger(ctx, entry).debug("an exec ends by its own time", { why: KilnError.from(error).message });
  });
}

function idOf(ask: ExecAsk): string {
  if (ask.kind === "resume") return ask.resume.id;
  return ask.spec.detach ? "" : ask.spec.id;
}

/** Of a call that failed at the agent. Aborted: its program does not get to run, and was asked to end. */
function failureOf({ name }: VmEntry, what: string, error: unknown): KilnError {
  const known = KilnError.from(error, what);
  if (known.code !== Code.Aborted || known.reason !== "guest-aborted") return known;
  return new KilnError(Code.Aborted, known.message, {
    reason: "program-starved",
    hint: `the guest has no processor time for it, or it is stopped; \`kiln kill ${name}\` ends the VM`,
    cause: error,
  });
}

/** A VM in any other state is without the machine in which its execs ran. */
const KEEPS_EXECS: readonly VmState[] = ["running", "paused", "stopping"];

/** It has run, or may have: to hear that nothing can be started there would be to hear of another exec. */
function endedUnder({ name, state }: VmEntry, cause: unknown): KilnError {
  return new KilnError(
    Code.FailedPrecondition,
    `exec in VM ${name}: the VM has ended under it, and is ${state} now`,
    {
      reason: `vm-${state}`,
      hint: "how far its program came is not known",
      details: { state },
      cause,
    },
  );
}

function notKept(entry: VmEntry, cause: KilnError): KilnError {
  return new KilnError(
    Code.NotFound,
    `go on with an exec in VM ${entry.name}: it is not known there any more`,
    {
      reason: "exec-not-found",
      hint: "the VM was started anew, or nobody has asked for it for too long",
      cause,
    },
  );
}

/** What there is to say of a VM that stands still, once each time that it changes. */
export function stallTeller(
  entry: VmEntry,
): () => { kind: "stalled"; reason: string; message: string } | undefined {
  let told = "";
  return () => {
    const { reason = "", message = "" } = stallOf(entry) ?? {};
    if (reason === told) return undefined;
    told = reason;
    return { kind: "stalled", reason, message };
  };
}

/**
 * The requests, held open behind their end until the exit was heard. Their end is the end of stdin, but where kilnd goes
 * and cuts its clients off: they go on with the next one.
 */
async function* lasting(
  asked: AsyncGenerator<ExecWord>,
  said: Deferred<void>,
  heard: Promise<void>,
  leaving: AbortSignal,
): AsyncGenerator<ExecWord> {
  let eof = false;
  try {
    for await (const request of asked) {
      eof ||= request.kind === "stdin-eof";
      yield request;
    }
  } catch (error) {
    if (error instanceof KilnError) throw error; // a word that is no signal
    // The caller's stream broke: that it has left is told by its signal.
    await heard;
    return;
  }
  said.resolve();
  if (!eof && !leaving.aborted) yield { kind: "stdin-eof" };
  await heard;
}

async function* requests(
  entry: VmEntry,
  ask: ExecAsk,
  input: AsyncIterable<ProcessInput>,
  onSignal: (signal: string) => void,
): AsyncGenerator<ExecWord> {
  if (ask.kind === "resume") yield { kind: "resume", ...ask.resume };
  else yield { kind: "start", process: processOf(entry, ask.spec) };
  if (ask.kind === "start" && ask.spec.detach) return;
  for await (const item of input) {
    const word = toAgent(item);
    if (item.kind === "signal") onSignal(item.signal);
    yield word;
  }
}

function toAgent(item: ProcessInput): ExecWord {
  return item.kind === "signal" ? { kind: "signal", signal: signalNumber(item.signal) } : item;
}

/** As the agent is asked for it. */
export function processOf(entry: VmEntry, spec: ExecSpec): GuestProcess {
  const { program, config } = entry.record;
  const terminal = spec.tty && !program.env.some((text) => text.startsWith("TERM=")) ? ["TERM=xterm"] : [];
  return {
    args: [...spec.args],
    env: mergeEnv([...program.env, ...terminal], spec.env),
    user: spec.user || program.user,
    workdir: spec.workdir || program.workdir,
    tty: spec.tty,
    stdin: spec.stdin,
    detach: spec.detach,
    id: spec.detach ? "" : spec.id,
    rlimits: rlimitsOf(config),
    ...(spec.tty ? { window: { columns: spec.columns || 80, rows: spec.rows || 24 } } : {}),
  };
}

function mergeEnv(own: readonly string[], added: readonly string[]): string[] {
  const merged = new Map<string, string>();
  for (const entry of [...own, ...added]) setVariable(merged, entry);
  return [...merged.values()];
}
