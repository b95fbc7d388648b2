// One streaming call: requests out, responses in, each with the back-pressure of HTTP/2.

import type { ClientHttp2Stream } from "node:http2";
import { Code, KilnError } from "../base/errors.js";
import { callError, endedError } from "./deadline.js";
import { EnvelopeReader, encodeEnvelope, FLAG_COMPRESSED, FLAG_END_STREAM } from "./envelope.js";
import { cancelOn, readBody, resetStream, responseStatus } from "./http-exchange.js";
import { connectionLost, errorFromRefusal, errorFromWire } from "./wire-error.js";

/** Longest streamed message taken: data travels in pieces of 64 KiB, base64 makes them 88. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

/** Requests may be sent and responses read in any interleaving. Not reading stops the peer, not sending does not. */
export class WireStream<Request, Response> {
  /** For messages: "Exec of VM web". */
  readonly #what: string;
  readonly #opened: Promise<ClientHttp2Stream>;
  readonly #signal: AbortSignal | undefined;
  #cancelled = false;

  constructor(what: string, opened: Promise<ClientHttp2Stream>, signal: AbortSignal | undefined) {
    this.#what = what;
    this.#signal = signal;
    this.#opened = opened;
    opened.then(
      (stream) => {
        const cancelling = cancelOn(stream, signal);
        stream.once("close", () => cancelling[Symbol.dispose]());
      },
      () => undefined, // reported to whoever sends or reads
    );
  }

  /** Sends one message, in the order of the calls. Resolves when there is room for the next. */
  async send(message: Request): Promise<void> {
    const stream = await this.#opened;
    if (stream.closed || stream.writableEnded) throw this.#lost();
    if (stream.write(encodeEnvelope(0, JSON.stringify(message)))) return;
    await drained(stream);
    if (stream.destroyed) throw this.#lost();
  }

  /** No more requests follow. */
  end(): void {
    this.#opened.then(
      (stream) => {
        if (!stream.closed) stream.end();
      },
      () => undefined,
    );
  }

  /** Ends the call from our side: kilnd sees it cancelled. */
  cancel(): void {
    this.#cancelled = true;
    this.#opened.then(resetStream, () => undefined);
  }

  /** The responses, once. Leaving the loop early cancels the call. */
  async *messages(): AsyncGenerator<Response, void> {
    const stream = await this.#opened;
    try {
      yield* this.#read(stream);
    } catch (error) {
      if (this.#cancelled && !this.#signal?.aborted) throw cancelledError(this.#what);
      throw callError(error, this.#signal, this.#what) ?? connectionLost(this.#what, error);
    } finally {
      resetStream(stream);
    }
  }

  async *#read(stream: ClientHttp2Stream): AsyncGenerator<Response, void> {
    const status = await responseStatus(stream);
    if (status !== 200) throw await this.#refused(stream, status);
    const reader = new EnvelopeReader(MAX_MESSAGE_BYTES);
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      for (const { flags, payload } of reader.push(chunk)) {
        if ((flags & FLAG_COMPRESSED) !== 0) throw unexpectedFrame(this.#what);
        if ((flags & FLAG_END_STREAM) !== 0) return finish(payload);
        yield JSON.parse(payload.toString("utf8")) as Response;
      }
    }
    throw new Error("the stream ended without a status");
  }

  async #refused(stream: ClientHttp2Stream, status: number): Promise<KilnError> {
    const body = await readBody(stream, MAX_MESSAGE_BYTES).catch(() => "");
    return errorFromRefusal(status, this.#what, body.toString());
  }

  #lost(): KilnError {
    if (this.#signal?.aborted) return endedError(this.#signal, this.#what);
    if (this.#cancelled) return cancelledError(this.#what);
    return connectionLost(this.#what);
  }
}

function finish(payload: Buffer): void {
  const end = JSON.parse(payload.toString("utf8")) as { error?: unknown };
  if (end.error !== undefined) throw errorFromWire(end.error);
}

function drained(stream: ClientHttp2Stream): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      stream.off("drain", done);
      stream.off("close", done);
      resolve();
    };
    stream.on("drain", done);
    stream.on("close", done);
    if (stream.destroyed) done();
  });
}

function cancelledError(method: string): KilnError {
  return new KilnError(Code.Cancelled, `${method}: cancelled`, { reason: "cancelled" });
}

function unexpectedFrame(method: string): KilnError {
  return new KilnError(Code.Internal, `${method}: kilnd sent a compressed message that was not asked for`, {
    reason: "unexpected-answer",
  });
}
