// The streaming half of kiln.v1.VmService: exec, attach, archives, stats. Bytes are passed through one message at a
// time, so back-pressure reaches from one end to the other.

import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { Code, KilnError } from "../base/errors.js";
import type {
  AttachOutput,
  AttachSpec,
  CopyOrder,
  Engine,
  ExecAsk,
  ExecOutput,
  ExecSpec,
  LogStream,
  OutputPlace,
  ProcessInput,
  VmUsage,
  VmView,
} from "../engine/index.js";
import type { WriteArchiveRequest, WriteArchiveStart } from "../gen/kiln/v1/files_pb.js";
import {
  type AttachRequest,
  type AttachResponseSchema,
  type ExecConfig,
  type ExecRequest,
  type ExecResponseSchema,
  type OutputPosition,
  OutputStream,
} from "../gen/kiln/v1/process_pb.js";
import type { VmService } from "../gen/kiln/v1/vm_pb.js";
import { fromExecRestart, toStatus, toVm } from "./convert-vm.js";

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
      const [first, rest] = await splitFirst("exec", requests);
      const { vm, ask } = toExecAsk(first);
      for await (const output of engine.vms.exec(vm, ask, toInput(rest), signal)) yield fromExec(output);
    },
    async *attach(requests, { signal }) {
      const [first, rest] = await splitFirst("attach", requests);
      const { vm, spec } = toAttachSpec(first);
      const attached = engine.vms.find(vm);
      for await (const output of engine.vms.attach(attached.id, spec, toInput(rest), signal)) {
        yield fromAttach(attached, output);
      }
    },
    async *readArchive({ vm, path, followLink }, { signal }) {
      for await (const data of engine.vms.files.readArchive(vm, path, followLink, signal)) yield { data };
    },
    async writeArchive(requests, { signal }) {
      const [first, rest] = await splitFirst("copy", requests);
      if (first.case !== "start") throw noStart("copy");
      const start = first.value;
      return engine.vms.files.writeArchive(start.vm, toCopyOrder(start), toBytes(rest), signal);
    },
    async *stats({ vms, once }, { signal }) {
      for await (const usages of engine.vms.stats(vms, once, signal)) {
        yield { stats: usages.map(toStats), time: timestampFromMs(Date.now()) };
      }
    },
  };
}

/** The first message and the rest of the stream. */
async function splitFirst<R extends { readonly message: { readonly case: string | undefined } }>(
  what: string,
  requests: AsyncIterable<R>,
): Promise<[R["message"], AsyncIterable<R>]> {
  const iterator = requests[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done === true) throw noStart(what);
  return [first.value.message, { [Symbol.asyncIterator]: () => iterator }];
}

function noStart(what: string): KilnError {
  return new KilnError(Code.InvalidArgument, `${what}: the first message must be "start"`, {
    reason: "bad-request",
  });
}

function toExecAsk(first: ExecRequest["message"]): { vm: string; ask: ExecAsk } {
  if (first.case === "resume") {
    const { vm, id, nextSequence } = first.value;
    return { vm, ask: { kind: "resume", resume: { id, nextSequence } } };
  }
  if (first.case !== "start") throw noStart("exec");
  const { vm, config, id } = first.value;
  return { vm, ask: { kind: "start", spec: { ...toExecSpec(config), id } } };
}

function toAttachSpec(first: AttachRequest["message"]): { vm: string; spec: AttachSpec } {
  if (first.case === "resume") {
    const { vm, id, stdin, start, after } = first.value;
    const resume = { after: toPlace(after) };
    return { vm, spec: { id, stdin, start, logs: false, resume } };
  }
  if (first.case !== "start") throw noStart("attach");
  const { vm, stdin, logs, start, id } = first.value;
  return { vm, spec: { stdin, logs, start, id } };
}

/** A place in a VM's output, as the engine has it. */
export function toPlace(place: OutputPosition | undefined): OutputPlace | undefined {
  return place === undefined ? undefined : { boot: place.boot, sequence: place.sequence };
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
      case "ack":
        yield { kind: "ack", sequence: message.value };
        break;
      default: // a second start, or a field of a newer client
        break;
    }
  }
}

function toCopyOrder({ directory, keepOwner, copy }: WriteArchiveStart): CopyOrder {
  if (copy === undefined) return { directory, keepOwner };
  const { name, isDirectory, contents } = copy;
  return { directory, keepOwner, copy: { name, isDirectory, contents } };
}

async function* toBytes(requests: AsyncIterable<WriteArchiveRequest>): AsyncGenerator<Uint8Array> {
  for await (const { message } of requests) if (message.case === "data") yield message.value;
}

function toExecSpec(config: ExecConfig | undefined): Omit<ExecSpec, "id"> {
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
    restart: config?.restart && fromExecRestart(config.restart),
    keep: config?.keep ?? false,
  };
}

function fromExec(output: ExecOutput): MessageInitShape<typeof ExecResponseSchema> {
  switch (output.kind) {
    case "started": {
      const { pid, resumable, stdinNext, execId = "" } = output;
      return { message: { case: "started", value: { pid, resumable, stdinNext, execId } } };
    }
    case "output": {
      const { stream, data, next } = output;
      const value = { stream: STREAMS[stream], data, next: { boot: 0, sequence: next } };
      return { message: { case: "output", value } };
    }
    case "stdin-taken":
      return { message: { case: "stdinTaken", value: output.taken } };
    case "stalled":
      return { message: { case: "stalled", value: { reason: output.reason, message: output.message } } };
    case "exit":
      return { message: { case: "exit", value: { code: output.code, error: output.error } } };
  }
}

function fromAttach(vm: VmView, output: AttachOutput): MessageInitShape<typeof AttachResponseSchema> {
  switch (output.kind) {
    case "attached":
      return { message: { case: "attached", value: toVm(vm) } };
    case "starting":
      return { message: { case: "starting", value: output.next } };
    case "resumable": {
      const { next, stdinNext, stdinUnwanted } = output;
      return { message: { case: "resumable", value: { next, stdinNext, stdinUnwanted } } };
    }
    case "output": {
      const { stream, data, next } = output;
      return { message: { case: "output", value: { stream: STREAMS[stream], data, next } } };
    }
    case "stdin-taken":
      return { message: { case: "stdinTaken", value: output.taken } };
    case "stalled":
      return { message: { case: "stalled", value: { reason: output.reason, message: output.message } } };
    case "exit":
      return { message: { case: "exit", value: { code: output.code, status: toStatus(vm) } } };
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
    egressDenied: BigInt(usage.egressDenied),
    netRxBytes: guest?.netRxBytes ?? 0n,
    netTxBytes: guest?.netTxBytes ?? 0n,
    blockReadBytes: guest?.blockReadBytes ?? 0n,
    blockWriteBytes: guest?.blockWriteBytes ?? 0n,
    processes: guest?.processes ?? 0,
  };
}
