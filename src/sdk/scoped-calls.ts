// Calls about one object: the same calls, whose errors say which object they were about.

import type { StreamCalls, StreamName, UnaryCalls, UnaryName } from "./calls.js";
import type { CallOptions } from "./deadline.js";
import type { LastingStream, LastingWords } from "./lasting-stream.js";
import type { WireStream } from "./wire-stream.js";

/** What makes calls: a Transport, or one whose calls are all about the same object. */
export interface Calls {
  unary<M extends UnaryName>(
    method: M,
    request: UnaryCalls[M]["request"],
    options?: CallOptions,
  ): Promise<UnaryCalls[M]["response"]>;
  stream<M extends StreamName>(
    method: M,
    options?: CallOptions,
  ): WireStream<StreamCalls[M]["request"], StreamCalls[M]["response"]>;
  serverStream<M extends StreamName>(
    method: M,
    request: StreamCalls[M]["request"],
    options?: CallOptions,
  ): AsyncGenerator<StreamCalls[M]["response"], void>;
  /** A call that carries a program, and outlives kilnd. */
  lasting<M extends "VmService/Exec" | "VmService/Attach">(
    method: M,
    words: LastingWords<StreamCalls[M]["request"], StreamCalls[M]["response"]>,
    options?: CallOptions,
  ): LastingStream<StreamCalls[M]["request"], StreamCalls[M]["response"]>;
}

/** CallOptions with the object that the call is about: "VM web". */
export interface SubjectOptions extends CallOptions {
  readonly subject?: string | undefined;
}

/** @param subject asked at each call: a VM may be renamed */
export function callsAbout(calls: Calls, subject: () => string): Calls {
  const about = (options: CallOptions | undefined): SubjectOptions => ({ ...options, subject: subject() });
  return {
    unary: (method, request, options) => calls.unary(method, request, about(options)),
    stream: (method, options) => calls.stream(method, about(options)),
    serverStream: (method, request, options) => calls.serverStream(method, request, about(options)),
    lasting: (method, words, options) => calls.lasting(method, words, about(options)),
  };
}

/** "Exec of VM web": what an error says was being done. */
export function callName(method: string, options: SubjectOptions): string {
  return options.subject === undefined ? method : `${method.replace(/^.*\//, "")} of ${options.subject}`;
}
