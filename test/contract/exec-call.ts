// One attendance to an exec of an agent, by the raw call: the peer of the agent's bookkeeping.

import assert from "node:assert/strict";
import { ConnectError } from "@connectrpc/connect";
import { type Deferred, deferred } from "../../src/base/runtime.js";
import type { WireSession } from "../fixtures/agent-wire.js";
import { ENV, type ExecRequest, type ProcessSpec } from "./agent-bench.js";

let count = 0;
/** For an exec: long enough for the agent. */
export const newId = () => `an-id-nobody-guesses-${count++}`;

/** One attendance to an exec; what is asked is said by `say`. */
export class ExecCall {
  pid = 0;
  stdinNext = 0n;
  taken = 0n;
  next: bigint;
  output = "";
  code: number | undefined;
  readonly over: Promise<ConnectError | undefined>;
  readonly started: Deferred<void> = deferred();
  #queue: ExecRequest[] = [];
  #wake: Deferred<void> = deferred();
  #closed = false;

  constructor(session: WireSession, first: ExecRequest, from = 0n) {
    this.next = from;
    this.say(first);
    this.over = this.#read(session).then(
      () => undefined,
      (error: unknown) => ConnectError.from(error),
    );
  }

  static start(session: WireSession, id: string, args: string[], spec: ProcessSpec = {}): ExecCall {
    return new ExecCall(session, { message: { case: "start", value: { args, env: ENV, id, ...spec } } });
  }

  static resume(session: WireSession, id: string, from: bigint): ExecCall {
    return new ExecCall(session, { message: { case: "resume", value: { id, nextSequence: from } } }, from);
  }

  say(...requests: ExecRequest[]): void {
    this.#queue.push(...requests);
    this.#wake.resolve();
  }

  /** Half-closes: the exit has arrived. */
  close(): void {
    this.#closed = true;
    this.#wake.resolve();
  }

  acknowledge(): void {
    this.say({ message: { case: "ack", value: this.next } });
  }

  async *#requests(): AsyncGenerator<ExecRequest> {
    for (;;) {
      const next = this.#queue.shift();
      if (next !== undefined) yield next;
      else if (this.#closed) return;
      else {
        await this.#wake.promise;
        this.#wake = deferred();
      }
    }
  }

  async #read(session: WireSession): Promise<void> {
    for await (const { message } of session.client.exec(this.#requests())) {
      if (message.case === "started") {
        this.pid = message.value.pid;
        this.stdinNext = message.value.stdinNext;
        this.started.resolve();
      } else if (message.case === "stdinTaken") this.taken = message.value;
      else if (message.case === "exit") this.code = message.value.code;
      else if (message.case === "data") {
        assert.equal(message.value.sequence, this.next, "neither a gap nor a repeat");
        this.next += BigInt(message.value.data.length);
        this.output += Buffer.from(message.value.data).toString("latin1");
      }
    }
  }
}
