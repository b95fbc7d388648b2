// The streaming half of kiln.v1.VmService: exec, attach, archives, stats. Bytes are passed through one message at a
// time, so back-pressure reaches from one end to the other.

import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { Code, KilnError } from "../base/errors.js";
import type { Engine, ExecOutput, ExecSpec, LogStream, ProcessInput, VmUsage } from "../engine/index.js";
import {
  type AttachRequest,
  type ExecConfig,
  type ExecRequest,
  OutputStream,
  type VmService,
  type WriteArchiveRequest,
} from "../gen/kiln/v1/vm_pb.js";
import { toStatus, toVm } from "./convert-vm.js";

export const STREAMS: Readonly<Record<LogStream, OutputStream>> = {
  stdout: OutputStream.STDOUT,
  stderr: OutputStream.STDERR,
};

type Streams = Pick<
  ServiceImpl<typeof VmService>,
  "exec" | "attach" | "readArchive" | "writeArchive" | "stats"
>;

export function createVmStreams(engine: Engine): Streams {
  return {
    async *exec(requests, { signal }) {
      const [start, rest] = await splitStart("exec", requests);
      const spec = toExecSpec(start.config);
      for await (const output of engine.exec(start.vm, spec, toInput(rest), signal)) yield fromExec(output);
    },
    async *attach(requests, { signal }) {
      const [start, rest] = await splitStart("attach", requests);
      const { vm, stdin, logs, start: starts } = start;
      const entry = engine.find(vm);
      for await (const output of engine.attach(
        entry,
        { stdin, logs, start: starts },
        toInput(rest),
        signal,
      )) {
        if (output.kind === "attached") {
          yield { message: { case: "attached", value: toVm(entry) } };
        } else if (output.kind === "output") {
          yield { message: { case: "output", value: { stream: STREAMS[output.stream], data: output.data } } };
        } else {
          yield { message: { case: "exit", value: { code: output.code, status: toStatus(entry) } } };
        }
      }
    },
    async *readArchive({ vm, path, followLink }, { signal }) {
      for await (const data of engine.readArchive(vm, path, followLink, signal)) yield { data };
    },
    async writeArchive(requests, { signal }) {
      const [start, rest] = await splitStart("copy", requests);
      const { vm, directory, keepOwner } = start;
      return engine.writeArchive(vm, { directory, keepOwner }, toBytes(rest), signal);
    },
    async *stats({ vms, once }, { signal }) {
      for await (const usages of engine.stats(vms, once, signal)) {
        yield { stats: usages.map(toStats), time: timestampFromMs(Date.now()) };
      }
    },
  };
}

interface Starting {
  readonly message: { readonly case: string | undefined; readonly value?: unknown };
}

type StartOf<R extends Starting> =
  Extract<R["message"], { case: "start" }> extends { value: infer V } ? V : never;

/** The first message, which must be `start`, and the rest of the stream. */
async function splitStart<R extends Starting>(
  what: string,
  requests: AsyncIterable<R>,
): Promise<[StartOf<R>, AsyncIterable<R>]> {
  const iterator = requests[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done === true || first.value.message.case !== "start") {
    throw new KilnError(Code.InvalidArgument, `${what}: the first message must be "start"`, {
      reason: "bad-request",
    });
  }
  return [first.value.message.value as StartOf<R>, { [Symbol.asyncIterator]: () => iterator }];
}

async function* toInput(requests: AsyncIterable<ExecRequest | AttachRequest>): AsyncGenerator<ProcessInput> {
  for await (const { message } of requests) {
    switch (message.case) {
      case "stdin":
        yield { kind: "stdin", data: message.value };
        break;
      case "stdinEof":
        yield { kind: "stdin-eof" };
        break;
      case "resize":
        yield { kind: "resize", columns: message.value.columns, rows: message.value.rows };
        break;
      case "signal":
        yield { kind: "signal", signal: message.value };
        break;
      default: // a second start, or a field of a newer client
        break;
    }
  }
}

async function* toBytes(requests: AsyncIterable<WriteArchiveRequest>): AsyncGenerator<Uint8Array> {
  for await (const { message } of requests) if (message.case === "data") yield message.value;
}

function toExecSpec(config: ExecConfig | undefined): ExecSpec {
  return {
    args: config?.args ?? [],
    env: config?.env ?? [],
    user: config?.user ?? "",
    workdir: config?.workdir ?? "",
    tty: config?.tty ?? false,
    stdin: config?.stdin ?? false,
    columns: config?.columns ?? 0,
    rows: config?.rows ?? 0,
    detach: config?.detach ?? false,
  };
}

function fromExec(output: ExecOutput) {
  switch (output.kind) {
    case "started":
      return { message: { case: "started" as const, value: { pid: output.pid } } };
    case "output":
      return {
        message: { case: "output" as const, value: { stream: STREAMS[output.stream], data: output.data } },
      };
    case "exit":
      return { message: { case: "exit" as const, value: { code: output.code, error: output.error } } };
  }
}

function toStats(usage: VmUsage) {
  const { guest } = usage;
  return {
    id: usage.id,
    name: usage.name,
    cpuPercent: usage.cpuPercent,
    memoryBytes: BigInt(usage.memoryBytes),
    memoryLimitBytes: BigInt(usage.memoryLimitBytes),
    rssBytes: BigInt(usage.rssBytes),
    netRxBytes: guest?.netRxBytes ?? 0n,
    netTxBytes: guest?.netTxBytes ?? 0n,
    blockReadBytes: guest?.blockReadBytes ?? 0n,
    blockWriteBytes: guest?.blockWriteBytes ?? 0n,
    processes: guest?.processes ?? 0,
  };
}
