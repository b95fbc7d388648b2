// What an attached client gives to the main program: stdin, counted where the agent can, sizes and signals. Its failure
// ends nothing: that the program has ended, or the client has left, is told elsewhere.

import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code as ConnectCode, ConnectError } from "@connectrpc/connect";
import type { AgentSession } from "../agent/types.js";
import { KilnError } from "../base/errors.js";
import { type Deferred, deferred } from "../base/runtime.js";
import type { InputRequestSchema } from "../gen/kiln/agent/v1/agent_pb.js";
import { fromAgent } from "./agent-errors.js";
import { type EngineContext, vmLogger } from "./context.js";
import { Notifier } from "./notifier.js";
import { requireLive, runningSession } from "./vm-access.js";
import type { AttachSpec } from "./vm-attach.js";
import type { VmEntry } from "./vm-entry.js";
import type { ProcessInput } from "./vm-exec.js";
import type { VmVerbs } from "./vm-verbs.js";

type InputRequest = MessageInitShape<typeof InputRequestSchema>;
interface Piece {
  readonly data: Uint8Array;
  readonly eof: boolean;
}

export class AttachedInput {
  /** Wakes when the program has taken more. */
  readonly took = new Notifier();
  readonly #ctx: EngineContext;
  readonly #verbs: VmVerbs;
  readonly #entry: VmEntry;
  readonly #spec: AttachSpec;
  readonly #signal: AbortSignal;
  readonly #opened: Deferred<bigint> = deferred();
  readonly #said: Deferred<void> = deferred();
  #taken = 0n;
  #told = 0n;

  constructor(ctx: EngineContext, verbs: VmVerbs, entry: VmEntry, spec: AttachSpec, signal: AbortSignal) {
    this.#ctx = ctx;
    this.#verbs = verbs;
    this.#entry = entry;
    this.#spec = spec;
    this.#signal = signal;
  }

  /** Resolves when the client has half-closed. */
  get said(): Promise<void> {
    return this.#said.promise;
  }

  /** What the program has taken, where that was not told yet. */
  news(): { kind: "stdin-taken"; taken: bigint } | undefined {
    if (this.#spec.id === "" || this.#taken === this.#told) return undefined;
    this.#told = this.#taken;
    return { kind: "stdin-taken", taken: this.#taken };
  }

  /** Carries on by itself. @returns where stdin goes on, once that is known */
  begin(input: AsyncIterable<ProcessInput>): Promise<bigint> {
    void this.#carry(input).finally(() => this.#opened.resolve(0n));
    return this.#spec.id === "" ? Promise.resolve(0n) : this.#opened.promise;
  }

  async #carry(input: AsyncIterable<ProcessInput>): Promise<void> {
    const pieces = this.#stdinOf(input);
    try {
      if (!this.#wanted) {
        this.#opened.resolve(0n);
        for await (const _ of pieces); // resizes and signals only
        return;
      }
      const session = await runningSession(this.#entry, "write to", this.#signal);
      if (this.#spec.id === "") await session.client.stdin(pieces, { signal: this.#signal });
      else await this.#counted(session, pieces);
    } catch (error) {
      const why = fromAgent(error, "carry stdin").message;
      vmLogger(this.#ctx, this.#entry).debug("input to the program ended", { why });
    }
  }

  get #wanted(): boolean {
    return this.#spec.stdin && this.#entry.record.config.openStdin;
  }

  async #counted(session: AgentSession, pieces: AsyncGenerator<Piece>): Promise<void> {
    try {
      for await (const { taken } of session.client.input(this.#requests(pieces), { signal: this.#signal })) {
        this.#took(taken);
      }
    } catch (error) {
      if (!(error instanceof ConnectError) || error.code !== ConnectCode.Unimplemented) throw error;
      // An agent of an older kiln: what is handed over counts as taken.
      this.#took(0n);
      await session.client.stdin(this.#tallied(pieces), { signal: this.#signal });
    }
  }

  #took(taken: bigint): void {
    this.#taken = taken;
    if (!this.#isOpen) this.#told = taken;
    this.#isOpen = true;
    this.#opened.resolve(taken);
    this.took.notify();
  }
  #isOpen = false;

  async *#requests(pieces: AsyncGenerator<Piece>): AsyncGenerator<InputRequest> {
    yield { message: { case: "start", value: { writer: this.#spec.id } } };
    // Nothing is read from the client before it is known that this agent counts.
    await this.#opened.promise;
    for await (const { data, eof } of pieces) {
      if (data.length > 0) yield { message: { case: "data", value: data } };
      if (eof) yield { message: { case: "eof", value: true } };
    }
  }

  async *#tallied(pieces: AsyncGenerator<Piece>): AsyncGenerator<Piece> {
    for await (const piece of pieces) {
      yield piece;
      this.#took(this.#taken + BigInt(piece.data.length) + (piece.eof ? 1n : 0n));
    }
  }

  async *#stdinOf(input: AsyncIterable<ProcessInput>): AsyncGenerator<Piece> {
    for await (const item of input) {
      if (item.kind === "stdin") {
        if (this.#wanted) yield { data: item.data, eof: false };
      } else if (item.kind === "stdin-eof") {
        if (this.#wanted) yield { data: new Uint8Array(), eof: true };
      } else if (item.kind !== "ack") {
        await this.#control(item).catch((error: unknown) => {
          const why = KilnError.from(error).message;
          vmLogger(this.#ctx, this.#entry).debug(`${item.kind} refused`, { why });
        });
      }
    }
    this.#said.resolve();
  }

  async #control(item: Extract<ProcessInput, { kind: "resize" | "signal" }>): Promise<void> {
    if (item.kind === "signal") return this.#verbs.signal(this.#entry, item.signal);
    const session = requireLive(this.#entry, "resize", ["running"]).link.current;
    await session?.client.resize(
      { window: { columns: item.columns, rows: item.rows } },
      { timeoutMs: CONTROL_MS },
    );
  }
}

const CONTROL_MS = 5_000;
