// What an attached client gives to the main program. Signals and sizes go at once; stdin is held until the program has
// taken it, over sessions that break, pauses and takeovers. Its failure ends nothing: that the program has ended, or the
// client has left, is told elsewhere.

import { isRefusal } from "../../agent/index.js";
import type { AgentSession } from "../../agent/types.js";
import { Code, KilnError } from "../../base/errors.js";
import { newId } from "../../base/ids.js";
import { type Deferred, deferred, delay } from "../../base/runtime.js";
import { Notifier, until } from "../common/notifier.js";
import { type EngineContext, vmLogger } from "../run/context.js";
import { requireLive, stallOf } from "../run/vm-access.js";
import type { VmVerbs } from "../run/vm-verbs.js";
import type { VmEntry } from "../vm/entry.js";
import { AttachedSignals } from "./attached-signals.js";
import { InputBacklog, type Piece } from "./input-backlog.js";
import type { AttachSpec, ProcessInput } from "./process-io.js";

type News =
  | { readonly kind: "resumable"; readonly stdinNext: bigint }
  | { readonly kind: "stdin-taken"; readonly taken: bigint };

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;
const CONTROL_MS = 5_000;

export class AttachedInput {
  /** Wakes when there are news. */
  readonly took = new Notifier();
  readonly #ctx: EngineContext;
  readonly #signals: AttachedSignals;
  readonly #unheard = new AbortController();
  readonly #entry: VmEntry;
  readonly #spec: AttachSpec;
  readonly #signal: AbortSignal;
  readonly #writer: string;
  readonly #backlog = new InputBacklog();
  /** Where the client's stdin goes on. */
  readonly #opened: Deferred<bigint> = deferred();
  /** That is known, or will not be for a while. */
  readonly #tried: Deferred<void> = deferred();
  readonly #said: Deferred<void> = deferred();
  #openedAt: bigint | undefined;
  /** Undefined before the client was told where its stdin goes on. */
  #told: bigint | undefined;
  /** An agent of an older kiln: what is handed over counts as taken. */
  #uncounted = false;

  constructor(ctx: EngineContext, verbs: VmVerbs, entry: VmEntry, spec: AttachSpec, signal: AbortSignal) {
    this.#ctx = ctx;
    this.#entry = entry;
    this.#spec = spec;
    this.#signal = signal;
    const onUnheard = (error: KilnError) => {
      this.#unheard.abort(error);
      this.took.notify();
    };
    this.#signals = new AttachedSignals({ ctx, verbs, entry, onUnheard, signal });
    this.#writer = spec.id === "" ? newId() : spec.id;
  }

  /** Resolves when the client has half-closed. */
  get said(): Promise<void> {
    return this.#said.promise;
  }

  /** Aborts, with the error for the client, when nobody takes a signal of theirs that asks for the end. */
  get unheard(): AbortSignal {
    return this.#unheard.signal;
  }

  /** What was not told yet: where stdin goes on, as soon as that is known; then what the program has taken. */
  news(): News | undefined {
    const at = this.#openedAt;
    if (this.#spec.id === "" || at === undefined) return undefined;
    if (this.#told === undefined) {
      this.#told = at;
      return { kind: "resumable", stdinNext: at };
    }
    const { taken } = this.#backlog;
    if (taken === this.#told) return undefined;
    this.#told = taken;
    return { kind: "stdin-taken", taken };
  }

  /** Carries on by itself. Resolves once it is known where stdin goes on, or that this will take its time. */
  begin(input: AsyncIterable<ProcessInput>): Promise<void> {
    const wanted = this.#spec.stdin && this.#entry.record.config.openStdin;
    // Only one that was there before may have had something taken that its client has not heard of.
    if (!wanted || this.#spec.resume === undefined) this.#open(0n);
    if (!wanted) this.#backlog.discard();
    this.#read(input).catch((error: unknown) => this.#note("input of the client ended", error));
    if (wanted) this.#carry().catch((error: unknown) => this.#note("input to the program ended", error));
    return this.#tried.promise;
  }

  #open(place: bigint): void {
    this.#openedAt = place;
    this.#opened.resolve(place);
    this.#tried.resolve();
    this.took.notify();
  }

  #note(what: string, error: unknown): void {
    if (this.#signal.aborted) return;
    vmLogger(this.#ctx, this.#entry).debug(what, { why: KilnError.from(error, "carry input").message });
  }

  async #read(input: AsyncIterable<ProcessInput>): Promise<void> {
    try {
      for await (const item of input) {
        if (item.kind === "stdin") await this.#hold({ data: item.data, eof: false });
        else if (item.kind === "stdin-eof") await this.#hold({ data: new Uint8Array(), eof: true });
        else if (item.kind === "signal") await this.#signals.send(item.signal);
        else if (item.kind === "resize") await this.#resize(item);
      }
      this.#said.resolve();
    } finally {
      this.#backlog.close();
    }
  }

  async #hold(piece: Piece): Promise<void> {
    await this.#opened.promise;
    await this.#backlog.push(piece, this.#signal);
  }

  async #resize(window: { readonly columns: number; readonly rows: number }): Promise<void> {
    const { columns, rows } = window;
    try {
      const session = requireLive(this.#entry, "resize", ["running"]).link.current;
      await session?.workloads.main.resize({ columns, rows }, { timeoutMs: CONTROL_MS });
    } catch (error) {
      vmLogger(this.#ctx, this.#entry).debug("resize refused", { why: KilnError.from(error).message });
    }
  }

  /** Until all was taken or the client is gone: each session that breaks is followed by the next. */
  async #carry(): Promise<void> {
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
      const before = this.#backlog.taken;
      try {
        const session = await this.#session();
        await (this.#uncounted ? this.#handOver(session) : this.#counted(session));
        if (this.#backlog.isDone) return;
      } catch (error) {
        this.#signal.throwIfAborted();
        if (isOlder(error)) {
          this.#uncounted = true;
          this.#heard(this.#backlog.taken);
          continue;
        }
        this.#note("input to the program was cut", error);
        if (isRefusal(error) && error.code === Code.InvalidArgument) return this.#give(error);
      }
      this.#tried.resolve();
      if (this.#backlog.taken !== before) pause = FIRST_PAUSE_MS;
      await delay(pause, this.#signal);
    }
  }

  /** Its stdin ends here; signals and sizes go on. */
  #give(error: unknown): void {
    this.#note("input to the program ended", error);
    this.#backlog.discard();
    if (this.#openedAt === undefined) this.#open(0n);
  }

  /** Waits for as long as the VM stands still, restarts or is taken over. */
  async #session(): Promise<AgentSession> {
    const live = () => {
      const { state, live } = this.#entry;
      const moves = (state === "running" || state === "stopping") && stallOf(this.#entry) === undefined;
      return moves ? live : undefined;
    };
    if (live()?.link.current === undefined) this.#tried.resolve();
    const found = await until(this.#entry.changed, live, this.#signal);
    return found.link.session({ signal: this.#signal });
  }

  async #counted(session: AgentSession): Promise<void> {
    const call = new AbortController();
    const signal = AbortSignal.any([this.#signal, call.signal]);
    const ready: Deferred<void> = deferred();
    // An agent that knows nothing of this writer any more is another boot's: it goes on with what was not taken.
    let before: bigint | undefined;
    try {
      const pieces = this.#pieces(ready.promise, signal);
      for await (const { taken } of session.workloads.main.input(this.#writer, pieces, { signal })) {
        if (before === undefined) {
          if (this.#openedAt === undefined) this.#backlog.beginAt(taken);
          before = taken < this.#backlog.taken ? this.#backlog.taken - taken : 0n;
        }
        this.#heard(before + taken);
        ready.resolve();
      }
    } finally {
      call.abort();
      ready.resolve();
    }
  }

  #heard(taken: bigint): void {
    this.#backlog.took(taken);
    if (this.#openedAt === undefined) this.#open(taken);
    this.took.notify();
  }

  async *#pieces(ready: Promise<void>, signal: AbortSignal): AsyncGenerator<Piece> {
    await ready;
    yield* this.#backlog.rest(signal);
  }

  async #handOver(session: AgentSession): Promise<void> {
    const call = new AbortController();
    const signal = AbortSignal.any([this.#signal, call.signal]);
    try {
      await session.workloads.main.handOver(this.#tallied(signal), { signal });
    } finally {
      call.abort();
    }
  }

  async *#tallied(signal: AbortSignal): AsyncGenerator<Piece> {
    for await (const piece of this.#backlog.rest(signal)) {
      yield piece;
      this.#heard(this.#backlog.taken + BigInt(piece.data.length) + (piece.eof ? 1n : 0n));
    }
  }
}

function isOlder(error: unknown): boolean {
  return isRefusal(error) && error.code === Code.Unimplemented;
}
