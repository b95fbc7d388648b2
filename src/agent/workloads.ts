// Programs of a guest by id. The main one is asked of every agent by the calls of AgentService, as 0.1.0's knows no other;
// another id goes to WorkloadService alone: an older agent would take an id for nothing, and stop the main program.

import type { Client } from "@connectrpc/connect";
import type { AgentService } from "../gen/kiln/agent/v1/agent_pb.js";
import { Stream } from "../gen/kiln/agent/v1/common_pb.js";
import { WorkloadKind, type WorkloadService, type WorkloadState } from "../gen/kiln/agent/v1/workload_pb.js";
import type { Features } from "./features.js";
import { boundedCount, boundedPid } from "./guest-numbers.js";
import { type GuestProcess, processSpec, type WindowSize } from "./guest-process.js";
import type { CallLimits } from "./limits.js";
import { type ProgramEnd, programEnd } from "./program-end.js";

/** A piece of output, as it comes: its place and its time are unchecked. */
export interface LogPiece {
  readonly sequence: bigint;
  readonly stream: "stdout" | "stderr";
  readonly timeUnixNs: bigint;
  readonly data: Uint8Array;
}

export interface InputPiece {
  readonly data: Uint8Array;
  /** Stdin ends behind it. */
  readonly eof: boolean;
}

/** What can be asked of one program, whichever it is. */
export interface WorkloadCalls {
  /** Output from a sequence number on, to the end of the program. A later reader takes it over. */
  logs(fromSequence: bigint, limits?: CallLimits): AsyncIterable<LogPiece>;
  /** Everything below is stored: the agent may forget it. */
  ackLogs(nextSequence: bigint, limits?: CallLimits): Promise<void>;
  /** Stdin by a writer with a name; tells how much of it the program has taken, its end counted as one more. */
  input(
    writer: string,
    pieces: AsyncIterable<InputPiece>,
    limits?: CallLimits,
  ): AsyncIterable<{ readonly taken: bigint }>;
  resize(window: WindowSize, limits?: CallLimits): Promise<void>;
  signal(signal: number, limits?: CallLimits): Promise<void>;
  /** Signal, patience, SIGKILL; returns at once. */
  stop(signal: number, timeoutMs: number, limits?: CallLimits): Promise<void>;
  /** Resolves with its end; undefined where the agent tells none. */
  wait(limits?: CallLimits): Promise<ProgramEnd | undefined>;
}

/** The program that every agent has. */
export interface MainCalls extends WorkloadCalls {
  /** Stdin, uncounted: all that an agent of 0.1.0 takes. */
  handOver(pieces: AsyncIterable<InputPiece>, limits?: CallLimits): Promise<void>;
}

export interface StartWorkload {
  /** 16 to 64 hex digits. A second start of one id starts nothing. */
  readonly id: string;
  readonly process: GuestProcess;
  readonly logBufferBytes?: bigint;
}

export interface WorkloadSummary {
  readonly id: string;
  readonly kind: "main" | "init" | "extra";
  /** 0: not started, or not yet. */
  readonly pid: number;
  readonly nextSequence: bigint;
  readonly exit: ProgramEnd | undefined;
}

/**
 * What an agent without the feature `workloads` cannot do is refused before it is asked.
 *
 * @throws KilnError failed_precondition `agent-too-old`
 */
export interface Workloads {
  readonly main: MainCalls;
  get(id: string): WorkloadCalls;
  /** @returns the process; 0 where it could not be started: its end says why */
  start(workload: StartWorkload, limits?: CallLimits): Promise<number>;
  list(limits?: CallLimits): Promise<readonly WorkloadSummary[]>;
  /** Its end is stored, or nobody wants it: what still runs of it is killed. */
  forget(id: string, limits?: CallLimits): Promise<void>;
}

type Main = Client<typeof AgentService>;
type Extras = Client<typeof WorkloadService>;

/** More than an agent of ours keeps is not believed. */
const MOST_WORKLOADS = 256;
const EXTRA_ID = /^[0-9a-f]{16,64}$/;
const KINDS: ReadonlyMap<WorkloadKind, WorkloadSummary["kind"]> = new Map([
  [WorkloadKind.MAIN, "main"],
  [WorkloadKind.INIT, "init"],
  [WorkloadKind.EXTRA, "extra"],
]);

export function workloadsOver(main: Main, extras: Extras, features: Features): Workloads {
  const need = (what: string, limits: CallLimits | undefined) => features.need("workloads", what, limits);
  return {
    main: mainCalls(main),
    get: (id) => extraCalls(extras, id, (limits) => need(`reach program ${id.slice(0, 12)}`, limits)),
    start: async ({ id, process, logBufferBytes = 0n }, limits) => {
      await need("start a program that is kept", limits);
      const request = { id, process: processSpec(process), logBufferBytes };
      return boundedPid((await extras.startWorkload(request, limits)).pid);
    },
    list: async (limits) => {
      await need("list programs", limits);
      const { workloads } = await extras.listWorkloads({}, limits);
      return summariesOf(workloads);
    },
    forget: async (id, limits) => {
      await need("forget a program", limits);
      await extras.forgetWorkload({ id }, limits);
    },
  };
}

/** A kind that this kiln does not know is none of its own, and an id that it would not give, or twice, is nobody's. */
function summariesOf(workloads: readonly WorkloadState[]): WorkloadSummary[] {
  const known = new Map<string, WorkloadSummary>();
  for (const { id, kind: said, pid, nextSequence, exit } of workloads.slice(0, MOST_WORKLOADS)) {
    const kind = KINDS.get(said);
    if (kind === undefined || known.has(id) || !isIdOf(kind, id)) continue;
    known.set(id, {
      id,
      kind,
      pid: boundedPid(pid),
      nextSequence: boundedCount(nextSequence),
      exit: exit && programEnd(exit),
    });
  }
  return [...known.values()];
}

function isIdOf(kind: WorkloadSummary["kind"], id: string): boolean {
  return kind === "extra" ? EXTRA_ID.test(id) : id === "main";
}

/** Numbers that a program's output comes with are checked where it is stored; a stream is one of two. */
async function* pieces(
  responses: AsyncIterable<Omit<LogPiece, "stream"> & { readonly stream: Stream }>,
): AsyncGenerator<LogPiece> {
  for await (const { sequence, stream, timeUnixNs, data } of responses) {
    yield { sequence, stream: stream === Stream.STDERR ? "stderr" : "stdout", timeUnixNs, data };
  }
}

async function* counted(
  answers: AsyncIterable<{ readonly taken: bigint }>,
): AsyncGenerator<{ readonly taken: bigint }> {
  for await (const { taken } of answers) yield { taken: boundedCount(taken) };
}

function mainCalls(client: Main): MainCalls {
  return {
    logs: (fromSequence, limits) => pieces(client.logs({ fromSequence }, limits)),
    ackLogs: async (nextSequence, limits) => {
      await client.ackLogs({ nextSequence }, limits);
    },
    input: (writer, input, limits) => counted(client.input(started({ writer }, input), limits)),
    handOver: async (input, limits) => {
      await client.stdin(input, limits);
    },
    resize: async (window, limits) => {
      await client.resize({ window }, limits);
    },
    signal: async (signal, limits) => {
      await client.signal({ signal }, limits);
    },
    stop: async (signal, timeoutMs, limits) => {
      await client.stop({ signal, timeoutMs }, limits);
    },
    wait: async (limits) => {
      const { exit } = await client.wait({}, limits);
      return exit && programEnd(exit);
    },
  };
}

function extraCalls(
  client: Extras,
  id: string,
  need: (limits: CallLimits | undefined) => Promise<void>,
): WorkloadCalls {
  return {
    async *logs(fromSequence, limits) {
      await need(limits);
      yield* pieces(client.readWorkloadLogs({ id, fromSequence }, limits));
    },
    ackLogs: async (nextSequence, limits) => {
      await need(limits);
      await client.ackWorkloadLogs({ id, nextSequence }, limits);
    },
    async *input(writer, input, limits) {
      await need(limits);
      yield* counted(client.writeWorkloadInput(started({ id, writer }, input), limits));
    },
    resize: async (window, limits) => {
      await need(limits);
      await client.resizeWorkload({ id, window }, limits);
    },
    signal: async (signal, limits) => {
      await need(limits);
      await client.signalWorkload({ id, signal }, limits);
    },
    stop: async (signal, timeoutMs, limits) => {
      await need(limits);
      await client.stopWorkload({ id, signal, timeoutMs }, limits);
    },
    wait: async (limits) => {
      await need(limits);
      const { exit } = await client.waitWorkload({ id }, limits);
      return exit && programEnd(exit);
    },
  };
}

type InputMessage<Start> =
  | { readonly case: "start"; readonly value: Start }
  | { readonly case: "data"; readonly value: Uint8Array }
  | { readonly case: "eof"; readonly value: boolean };

async function* started<Start>(
  value: Start,
  pieces: AsyncIterable<InputPiece>,
): AsyncGenerator<{ message: InputMessage<Start> }> {
  yield { message: { case: "start", value } };
  for await (const { data, eof } of pieces) {
    if (data.length > 0) yield { message: { case: "data", value: data } };
    if (eof) yield { message: { case: "eof", value: true } };
  }
}
