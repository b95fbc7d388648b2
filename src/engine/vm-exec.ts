// Programs started beside the main one. Bytes are passed through as they come: back-pressure reaches from the
// client's socket to the program in the guest and back, nothing is collected here.

import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, KilnError } from "../base/errors.js";
import { type ExecRequestSchema, type ExecResponse, Stream } from "../gen/kiln/agent/v1/agent_pb.js";
import { fromAgent } from "./agent-errors.js";
import { boundedExitCode } from "./guest-numbers.js";
import type { LogStream } from "./log-format.js";
import { signalNumber } from "./signals.js";
import { runningSession } from "./vm-access.js";
import type { VmEntry } from "./vm-entry.js";
import { setVariable } from "./vm-plan.js";
import { checkWord } from "./vm-validate.js";

export interface ExecSpec {
  readonly args: readonly string[];
  /** Added to the VM's own. */
  readonly env: readonly string[];
  /** Empty: the VM's own. */
  readonly user: string;
  readonly workdir: string;
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly columns: number;
  readonly rows: number;
  /** Answers with `started` and leaves it running. */
  readonly detach: boolean;
}

export type ProcessInput =
  | { readonly kind: "stdin"; readonly data: Uint8Array }
  | { readonly kind: "stdin-eof" }
  | { readonly kind: "resize"; readonly columns: number; readonly rows: number }
  | { readonly kind: "signal"; readonly signal: string };

export type ExecOutput =
  | { readonly kind: "started"; readonly pid: number }
  | { readonly kind: "output"; readonly stream: LogStream; readonly data: Uint8Array }
  /** `error` says why it could not be started: the code is then 126 or 127. */
  | { readonly kind: "exit"; readonly code: number; readonly error: string };

/**
 * Starts a program and carries its input and output until it ends. Aborting the signal kills it, unless detached.
 *
 * @throws KilnError failed_precondition `vm-<state>`, invalid_argument `no-command`, unavailable `agent-unreachable`
 */
export async function* execInVm(
  entry: VmEntry,
  spec: ExecSpec,
  input: AsyncIterable<ProcessInput>,
  signal: AbortSignal | undefined,
): AsyncGenerator<ExecOutput> {
  if (spec.args.length === 0 || spec.args[0] === "") {
    throw new KilnError(Code.InvalidArgument, `exec in VM ${entry.name}: no command was given`, {
      reason: "no-command",
    });
  }
  for (const word of [...spec.args, ...spec.env, spec.user, spec.workdir]) checkWord(word);
  const session = await runningSession(entry, "exec in", signal);
  try {
    const options = signal === undefined ? {} : { signal };
    for await (const response of session.client.exec(requests(entry, spec, input), options)) {
      const output = fromResponse(response);
      if (output !== undefined) yield output;
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw fromAgent(error, `exec in VM ${entry.name}`);
  }
}

type AgentRequest = MessageInitShape<typeof ExecRequestSchema>;

async function* requests(
  entry: VmEntry,
  spec: ExecSpec,
  input: AsyncIterable<ProcessInput>,
): AsyncGenerator<AgentRequest> {
  yield { message: { case: "start", value: processOf(entry, spec) } };
  if (spec.detach) return;
  for await (const item of input) {
    switch (item.kind) {
      case "stdin":
        yield { message: { case: "stdin", value: item.data } };
        break;
      case "stdin-eof":
        yield { message: { case: "stdinEof", value: true } };
        break;
      case "resize":
        yield { message: { case: "resize", value: { columns: item.columns, rows: item.rows } } };
        break;
      case "signal":
        yield { message: { case: "signal", value: signalNumber(item.signal) } };
        break;
    }
  }
}

function processOf(entry: VmEntry, spec: ExecSpec) {
  const { program } = entry.record;
  const terminal = spec.tty && !program.env.some((text) => text.startsWith("TERM=")) ? ["TERM=xterm"] : [];
  return {
    args: [...spec.args],
    env: mergeEnv([...program.env, ...terminal], spec.env),
    user: spec.user || program.user,
    workdir: spec.workdir || program.workdir,
    tty: spec.tty,
    stdin: spec.stdin,
    detach: spec.detach,
    ...(spec.tty ? { window: { columns: spec.columns || 80, rows: spec.rows || 24 } } : {}),
  };
}

function mergeEnv(own: readonly string[], added: readonly string[]): string[] {
  const merged = new Map<string, string>();
  for (const entry of [...own, ...added]) setVariable(merged, entry);
  return [...merged.values()];
}

function fromResponse({ message }: ExecResponse): ExecOutput | undefined {
  switch (message.case) {
    case "startedPid":
      return { kind: "started", pid: message.value };
    case "data":
      return {
        kind: "output",
        stream: message.value.stream === Stream.STDERR ? "stderr" : "stdout",
        data: message.value.data,
      };
    case "exit":
      return { kind: "exit", code: boundedExitCode(message.value.code), error: message.value.error };
    case undefined:
      return undefined;
  }
}
