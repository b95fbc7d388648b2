// A VM's log: what its main program wrote, with times.

import type { LogsResponseJson, OutputPositionJson } from "../gen/kiln/v1/vm_pb.js";
import { dateOf } from "./convert.js";
import { type CallOptions, deadlineSignal, endedError } from "./deadline.js";
import { isOutage, Outage } from "./outage.js";
import type { Calls } from "./scoped-calls.js";

/** Options of `vm.logs()`. Without any: all that is there, then the end. */
export interface LogOptions extends CallOptions {
  /** Goes on until the VM ends. */
  readonly follow?: boolean | undefined;
  /** Only the last so many lines of what is there. */
  readonly tail?: number | undefined;
  readonly since?: Date | undefined;
  readonly until?: Date | undefined;
  /** The kernel's console instead of the program's output. */
  readonly console?: boolean | undefined;
}

/** A piece of output. Not cut at lines. */
export interface LogChunk {
  readonly fd: 1 | 2;
  readonly time: Date;
  readonly data: Uint8Array;
}

/** Reads a log, over as many kilnds as it takes to follow it to its end. Not reading on stops kilnd from sending. */
export async function* readLogs(
  transport: Calls,
  vm: string,
  options: LogOptions,
): AsyncGenerator<LogChunk, void> {
  const request = {
    vm,
    follow: options.follow ?? false,
    console: options.console ?? false,
    ...(options.tail === undefined ? {} : { tail: options.tail }),
    ...(options.since === undefined ? {} : { since: options.since.toISOString() }),
    ...(options.until === undefined ? {} : { until: options.until.toISOString() }),
  };
  const signal = deadlineSignal(options);
  const bound = { signal };
  let after: OutputPositionJson | undefined;
  let outage: Outage | undefined;
  for (;;) {
    const from = after === undefined ? request : { ...request, after };
    try {
      for await (const json of transport.serverStream("VmService/Logs", from, bound)) {
        outage = undefined;
        after = json.next ?? after;
        yield chunkOf(json);
      }
      return;
    } catch (error) {
      const what = `Logs of ${vm}`;
      if (signal?.aborted) throw endedError(signal, what);
      // Where nothing has come yet, or its place is not known, to ask again would repeat.
      if (!request.follow || after === undefined || !isOutage(error)) throw error;
      outage ??= new Outage(what, error);
      await outage.pause(signal);
    }
  }
}

function chunkOf(json: LogsResponseJson): LogChunk {
  return {
    fd: json.stream === "OUTPUT_STREAM_STDERR" ? 2 : 1,
    time: dateOf(json.time) ?? new Date(0),
    data: Buffer.from(json.data ?? "", "base64"),
  };
}
