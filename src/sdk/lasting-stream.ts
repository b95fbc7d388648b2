// A call that carries a program and outlives kilnd: where the connection breaks, kilnd is brought back, and the call goes
// on where it was: output by its place, stdin by what was taken, size as it is now. Nothing is asked for twice.

import { Code, KilnError } from "../base/errors.js";
import { type Deferred, deferred } from "../base/runtime.js";
import type { OutputPositionJson, VmStalledJson } from "../gen/kiln/v1/process_pb.js";
import { endedError } from "./deadline.js";
import { KeptInput } from "./kept-input.js";
import { isGuestSilent, isOutage, Outage } from "./outage.js";
import type { InputJson, ProcessWire } from "./process-stream.js";
import { connectionLost } from "./wire-error.js";
import type { WireStream } from "./wire-stream.js";

/** What answers tell about the call itself. */
export interface CallNews {
  /** Whether it can be gone on with; told once at the start of each connection. */
  readonly resumable?: boolean | undefined;
  readonly stdinNext?: string | undefined;
  readonly stdinTaken?: string | undefined;
  /** Nobody takes any: what is written is dropped. */
  readonly stdinUnwanted?: boolean | undefined;
  /** Where the output goes on. */
  readonly place?: OutputPositionJson | undefined;
  readonly bytes?: number | undefined;
  readonly stalled?: VmStalledJson | undefined;
  /** The last answer: how it ended. */
  readonly ended?: boolean | undefined;
}

/** The words of one kind of call. */
export interface LastingWords<Request, Response> {
  readonly start: Request;
  /** @param heard false: nothing was heard of it yet; undefined as the answer: then it is started again, or given up */
  resume(place: OutputPositionJson | undefined): Request;
  /** True where the error says that what was never heard of was never started. */
  isUnknown(error: unknown): boolean;
  news(response: Response): CallNews;
  /** Says that output has arrived for good; undefined where nobody waits for it. */
  readonly ack: ((place: OutputPositionJson) => Request) | undefined;
}

export interface LastingOptions {
  readonly what: string;
  readonly signal: AbortSignal | undefined;
  /** False once the client was closed by its user. */
  readonly isOpen: () => boolean;
}

/** Output that waits for its reader while a writer needs answers. */
const MOST_AHEAD_BYTES = 1024 * 1024;
const ACK_EVERY_BYTES = 64 * 1024;
/** How long kilnd may take to end a call whose last answer it has given. */
const PARTING_MS = 5_000;

export class LastingStream<Request, Response> implements ProcessWire<Response> {
  readonly #open: () => WireStream<Request, Response>;
  readonly #words: LastingWords<Request, Response>;
  readonly #options: LastingOptions;
  readonly #kept = new KeptInput<InputJson>((data) => ({ stdin: data.toString("base64") }));
  readonly #ahead: { response: Response; news: CallNews }[] = [];
  #aheadBytes = 0;
  #drained: Deferred<void> = deferred();
  #wire: WireStream<Request, Response>;
  #answers: AsyncGenerator<Response, void>;
  #pulling: Promise<void> | undefined;
  #over = false;
  #ended = false;
  #error: unknown;
  #cancelled = false;
  #resumable: boolean | undefined;
  #unwanted = false;
  #place: OutputPositionJson | undefined;
  #unacknowledged = 0;
  #size: InputJson | undefined;
  #away = false;
  #stalled: string | undefined;
  onAway: (() => void) | undefined;

  constructor(
    open: () => WireStream<Request, Response>,
    words: LastingWords<Request, Response>,
    options: LastingOptions,
  ) {
    this.#open = open;
    this.#words = words;
    this.#options = options;
    this.#wire = open();
    this.#answers = this.#wire.messages();
    this.#forward(words.start);
  }

  /** True while the program can't be reached: kilnd is away, or its VM stands still. */
  get unreachable(): boolean {
    return this.#away || this.#stalled !== undefined;
  }

  /** True once it is known that the program runs, or has run. */
  get begun(): boolean {
    return this.#resumable !== undefined;
  }

  async send(message: InputJson): Promise<void> {
    if (message.signal !== undefined && this.#away) throw connectionLost(this.#options.what);
    if (message.resize !== undefined) this.#size = message;
    if (message.stdin === undefined && message.stdinEof === undefined) {
      if (!this.#away) await this.#wire.send(asRequest(message));
      return;
    }
    while (this.#kept.isFull && this.#resumable !== false && !this.#over) await this.#room();
    if (this.#over) throw this.#error ?? connectionLost(this.#options.what);
    if (this.#unwanted) return;
    if (this.#resumable !== false) {
      this.#kept.add(message, message.stdin === undefined ? undefined : Buffer.from(message.stdin, "base64"));
    }
    if (this.#away) return; // given when it is back
    await this.#wire.send(asRequest<Request>(message)).catch((error: unknown) => {
      if (this.#resumable === false || !isOutage(error)) throw error;
    });
  }

  end(): void {
    this.#wire.end();
  }

  cancel(): void {
    this.#cancelled = true;
    this.#wire.cancel();
  }

  async *messages(): AsyncGenerator<Response, void> {
    try {
      for (;;) {
        const next = this.#ahead.shift();
        if (next !== undefined) {
          this.#aheadBytes -= next.news.bytes ?? 0;
          this.#drain();
          yield next.response;
          this.#acknowledge(next.news);
        } else if (this.#error !== undefined) throw this.#error;
        else if (this.#over) return;
        else await this.#pull();
      }
    } finally {
      this.#over = true;
      this.#drain();
      if (this.#ended) this.#part();
      else this.#wire.cancel();
    }
  }

  /** Says that the end was heard by ending the requests, which costs kilnd and the agent less than a call cut off. */
  #part(): void {
    this.#wire.end();
    const late = setTimeout(() => this.#wire.cancel(), PARTING_MS);
    late.unref();
    const rest = async () => {
      while ((await this.#answers.next()).done !== true);
    };
    rest()
      .catch(() => undefined)
      .finally(() => clearTimeout(late));
  }

  #drain(): void {
    this.#drained.resolve();
    this.#drained = deferred();
  }

  /** For a writer: answers are read on, so that it hears what was taken. */
  async #room(): Promise<void> {
    if (this.#aheadBytes < MOST_AHEAD_BYTES) return this.#pull();
    await this.#drained.promise; // its reader's turn
  }

  #pull(): Promise<void> {
    this.#pulling ??= this.#read().finally(() => {
      this.#pulling = undefined;
    });
    return this.#pulling;
  }

  async #read(): Promise<void> {
    try {
      const { value, done } = await this.#answers.next();
      if (done === true) this.#over = true;
      else this.#take(value, false);
    } catch (error) {
      await this.#recover(error).catch((final: unknown) => {
        this.#error = final;
        this.#over = true;
      });
    }
  }

  #take(response: Response, again: boolean): void {
    const news = this.#words.news(response);
    if (news.stalled !== undefined) this.#stalled = news.stalled.reason || undefined;
    if (news.stdinTaken !== undefined) this.#kept.take(Number(news.stdinTaken));
    if (news.place !== undefined) this.#place = news.place;
    if (news.ended === true) this.#ended = true;
    // Output before the word is a kilnd's of before all this.
    const silent = this.#resumable === undefined && news.resumable === undefined && (news.bytes ?? 0) > 0;
    if (silent) this.#resumable = false;
    if (news.resumable !== undefined) this.#unwanted = news.stdinUnwanted === true;
    if (silent || news.resumable === false || this.#unwanted) this.#kept.drop();
    if (news.resumable !== undefined) {
      this.#resumable = news.resumable;
      if (news.stdinNext !== undefined) this.#kept.take(Number(news.stdinNext));
      if (again || this.#away) this.#giveAgain();
    }
    this.#aheadBytes += news.bytes ?? 0;
    this.#ahead.push({ response, news });
  }

  #giveAgain(): void {
    this.#away = false;
    for (const message of this.#kept.missing()) this.#forward(asRequest(message));
    if (this.#size !== undefined) this.#forward(asRequest(this.#size));
  }

  /** Where it fails, the answers say so. */
  #forward(request: Request): void {
    this.#wire.send(request).catch(() => undefined);
  }

  #acknowledge(news: CallNews): void {
    const { ack } = this.#words;
    if (ack === undefined || this.#resumable !== true || news.place === undefined) return;
    this.#unacknowledged += news.bytes ?? 0;
    if (this.#unacknowledged < ACK_EVERY_BYTES || this.#away) return;
    this.#unacknowledged = 0;
    this.#forward(ack(news.place));
  }

  async #recover(error: unknown): Promise<void> {
    const { what, signal, isOpen } = this.#options;
    if (!isOutage(error) || this.#resumable === false || this.#cancelled) throw error;
    if (this.#resumable === undefined && isGuestSilent(error)) throw error; // nothing has begun that could go on
    const outage = new Outage(what, error);
    this.#away = true;
    this.onAway?.();
    let request = this.#words.resume(this.#place);
    for (;;) {
      await outage.pause(signal).catch((reason: unknown) => {
        throw signal?.aborted ? endedError(signal, what) : reason;
      });
      if (!isOpen() || this.#cancelled || this.#over) throw error;
      try {
        return await this.#tryAgain(request, outage.leftMs);
      } catch (failed) {
        if (signal?.aborted) throw endedError(signal, what);
        if (this.#resumable === undefined && this.#words.isUnknown(failed)) request = this.#words.start;
        // A kilnd of before all this: what was lost is lost.
        else if (this.#resumable === undefined && isBadRequest(failed)) throw error;
        else if (!isOutage(failed)) throw failed;
        else outage.failed(failed);
      }
    }
  }

  /** One try: done with the first answer. */
  async #tryAgain(request: Request, withinMs: number): Promise<void> {
    this.#wire = this.#open();
    this.#answers = this.#wire.messages();
    this.#forward(request);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#wire.cancel();
    }, withinMs);
    try {
      const { value, done } = await this.#answers.next();
      if (done === true) throw connectionLost(this.#options.what);
      this.#take(value, true);
    } catch (error) {
      throw late ? connectionLost(this.#options.what, error) : error;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Input has the same form in the requests of every call that carries a program. */
function asRequest<Request>(message: InputJson): Request {
  return message as Request;
}

function isBadRequest(error: unknown): boolean {
  return error instanceof KilnError && error.code === Code.InvalidArgument;
}
