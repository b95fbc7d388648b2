// Processes beside the main program, each attended by a call.

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import type { AgentService } from "../gen/kiln/agent/v1/agent_pb.js";
import { Stream } from "../gen/kiln/agent/v1/common_pb.js";
import type { ExecRequestSchema, ExecResponse } from "../gen/kiln/agent/v1/workload_pb.js";
import { boundedCount, boundedPid } from "./guest-numbers.js";
import { type GuestProcess, processSpec } from "./guest-process.js";
import type { CallLimits } from "./limits.js";
import { programEnd } from "./program-end.js";

/** What the host says; the first is `start` or `resume`. */
export type ExecWord =
  | { readonly kind: "start"; readonly process: GuestProcess }
  | { readonly kind: "resume"; readonly id: string; readonly nextSequence: bigint }
  | { readonly kind: "stdin"; readonly data: Uint8Array }
  | { readonly kind: "stdin-eof" }
  | { readonly kind: "resize"; readonly columns: number; readonly rows: number }
  | { readonly kind: "signal"; readonly signal: number }
  /** Output below it has arrived for good. */
  | { readonly kind: "ack"; readonly sequence: bigint };

/** What the agent answers, in order; `exit` is the last. The guest's own words, made sane. */
export type ExecAnswer =
  | {
      readonly kind: "started";
      readonly pid: number;
      /** It has an id, and outlives its call. */
      readonly resumable: boolean;
      readonly stdinNext: bigint;
    }
  | {
      readonly kind: "output";
      readonly stream: "stdout" | "stderr";
      readonly data: Uint8Array;
      /** Behind data, of one that is resumable. */
      readonly next: bigint;
    }
  | { readonly kind: "stdin-taken"; readonly taken: bigint }
  | { readonly kind: "exit"; readonly code: number; readonly error: string };

export interface GuestExecs {
  /** Its end without an `exit` is the end of one that is detached. */
  run(words: AsyncIterable<ExecWord>, limits?: CallLimits): AsyncIterable<ExecAnswer>;
  /** Kills one with an id, and forgets it. */
  end(id: string, limits?: CallLimits): Promise<void>;
}

export function execsOver(client: Client<typeof AgentService>): GuestExecs {
  return {
    async *run(words, limits) {
      for await (const response of client.exec(requestsOf(words), limits)) {
        const answer = answerOf(response);
        if (answer !== undefined) yield answer;
      }
    },
    end: async (id, limits) => {
      await client.endExec({ id }, limits);
    },
  };
}

type Request = MessageInitShape<typeof ExecRequestSchema>;

async function* requestsOf(words: AsyncIterable<ExecWord>): AsyncGenerator<Request> {
  for await (const word of words) yield { message: messageOf(word) };
}

function messageOf(word: ExecWord): NonNullable<Request["message"]> {
  switch (word.kind) {
    case "start":
      return { case: "start", value: processSpec(word.process) };
    case "resume":
      return { case: "resume", value: { id: word.id, nextSequence: word.nextSequence } };
    case "stdin":
      return { case: "stdin", value: word.data };
    case "stdin-eof":
      return { case: "stdinEof", value: true };
    case "resize":
      return { case: "resize", value: { columns: word.columns, rows: word.rows } };
    case "signal":
      return { case: "signal", value: word.signal };
    case "ack":
      return { case: "ack", value: word.sequence };
  }
}

/** None of what a later agent may say. */
function answerOf({ message }: ExecResponse): ExecAnswer | undefined {
  switch (message.case) {
    case "startedPid":
      return { kind: "started", pid: boundedPid(message.value), resumable: false, stdinNext: 0n };
    case "started":
      return {
        kind: "started",
        pid: boundedPid(message.value.pid),
        resumable: true,
        stdinNext: boundedCount(message.value.stdinNext),
      };
    case "stdinTaken":
      return { kind: "stdin-taken", taken: boundedCount(message.value) };
    case "data": {
      const { stream, data, sequence } = message.value;
      const next = boundedCount(sequence + BigInt(data.length));
      return { kind: "output", stream: stream === Stream.STDERR ? "stderr" : "stdout", data, next };
    }
    case "exit": {
      const { code, error } = programEnd(message.value);
      return { kind: "exit", code, error };
    }
    case undefined:
      return undefined;
  }
}
