// A VM's log: what its main program wrote, with times.

import { defined } from "../base/defined.js";
import type { LogsResponseJson, OutputPositionJson } from "../gen/kiln/v1/process_pb.js";
import { dateOf } from "./convert.js";
import type { CallOptions } from "./deadline.js";
import { CALL, type NamesOf } from "./known-options.js";
import { lastingAnswers } from "./lasting-answers.js";
import type { Calls } from "./scoped-calls.js";

/** Options of `vm.logs()`. Without any: all that is there, then the end. */
export interface LogOptions extends CallOptions {
  /** Goes on until the VM ends. */
  readonly follow?: boolean | undefined;
  /** Only the last so many lines of what is there. */
  readonly tail?: number | undefined;
  readonly since?: Date | undefined;
  readonly until?: Date | undefined;
  /** The kernel's console instead of the program's output. In system mode always: an init of the image's own writes there. */
  readonly console?: boolean | undefined;
}

export const LOGS_OPTIONS: NamesOf<LogOptions> = {
  ...CALL,
  follow: true,
  tail: true,
  since: true,
  until: true,
  console: true,
};

/** A piece of output. Not cut at lines. */
export interface LogChunk {
  readonly fd: 1 | 2;
  /** 1970 for the console, which has no times: `since` and `until` do not count for it. */
  readonly time: Date;
  readonly data: Uint8Array;
}

/** Whose log it is. */
export interface LogOf {
  readonly vm: string;
  /** The full id of a program beside its own. */
  readonly exec?: string;
}

/** Reads a log, over as many kilnds as it takes to follow it to its end. Not reading on stops kilnd from sending. */
export async function* readLogs(
  transport: Calls,
  { vm, exec }: LogOf,
  options: LogOptions,
): AsyncGenerator<LogChunk, void> {
  const request = defined({
    vm,
    exec,
    follow: options.follow ?? false,
    console: options.console ?? false,
    tail: options.tail,
    since: options.since?.toISOString(),
    until: options.until?.toISOString(),
  });
  let after: OutputPositionJson | undefined;
  let came = false;
  const from = () => {
    if (after !== undefined) return { ...request, after };
    // Nothing was there: what is there now has come since, all of it.
    const { tail, ...all } = request;
    if (!again) return request;
    if (tail !== 0) return all;
    // Of what is there now only what has come since it was asked for the first time.
    const since = options.since !== undefined && options.since > begun ? options.since : begun;
    return { ...all, since: since.toISOString() };
  };
  const begun = new Date();
  let again = false;
  const answers = lastingAnswers(
    {
      what: `Logs of ${vm}`,
      ask: (bound) => transport.serverStream("VmService/Logs", from(), bound),
      // Where its place is not known (a kilnd of before all this), to ask again would repeat.
      canAskAgain: () => {
        again = true;
        return request.follow && (after !== undefined || !came);
      },
    },
    options,
  );
  for await (const json of answers) {
    came = true;
    after = json.next ?? after;
    yield chunkOf(json);
  }
}

function chunkOf(json: LogsResponseJson): LogChunk {
  return {
    fd: json.stream === "OUTPUT_STREAM_STDERR" ? 2 : 1,
    time: dateOf(json.time) ?? new Date(0),
    data: Buffer.from(json.data ?? "", "base64"),
  };
}
