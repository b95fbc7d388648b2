// A bounded queue between a Node stream and a loop. Why not the stream's own iterator: that joins all buffered chunks
// into one by copying, and buffers either a single chunk or as many as it likes.

import type { Readable, Writable } from "node:stream";
import { Code, errnoOf, isReaderGone, KilnError } from "../../base/errors.js";
import { freeSpentChunk } from "./spent-chunk.js";

/** What zlib gives at a time. Each trip to its thread and back wakes two sleepers, which virtual CPUs pay dearly. */
export const OUTPUT_CHUNK = 4 * 1024 * 1024;

/** Chunks that end by themselves or by close(); each is valid until the next one is asked for. One loop may read it. */
export interface ByteStream extends AsyncIterable<Uint8Array> {
  /** Stops the work behind it and gives everything back; safe at any time and more than once. */
  close(): Promise<void>;
}

/** No work behind it: chunks go through as they are. */
export function passThrough(source: AsyncIterable<Uint8Array>): ByteStream {
  const iterator = source[Symbol.asyncIterator]();
  return {
    [Symbol.asyncIterator]: () => iterator,
    close: async () => {
      await iterator.return?.();
    },
  };
}

/** The source's chunks as they are, the next one fetched while one is used. */
export async function* oneAhead(
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const iterator = source[Symbol.asyncIterator]();
  try {
    for (let next = iterator.next(); ; ) {
      const { done, value } = await next;
      if (done === true) return;
      next = iterator.next();
      // Awaited one turn later: until then a failure must not count as unhandled.
      next.catch(() => undefined);
      yield value;
    }
  } finally {
    await iterator.return?.();
  }
}

export interface PipeOptions {
  /** Bytes of output that may wait. */
  readonly ahead: number;
  /** The compression's name, for errors. */
  readonly describe: string;
  /** Says how the work ended once the output has: a child's exit status. Throws for a bad end. */
  readonly finished?: () => Promise<void>;
  /** Ends what the streams don't own. */
  readonly release?: () => Promise<void>;
}

/** Pumps `source` into `input` and gives what comes out of `output`. Starts at once. */
export function pipeThrough(
  source: AsyncIterable<Uint8Array>,
  input: Writable,
  output: Readable,
  options: PipeOptions,
): ByteStream {
  return new PipedStream(source, input, output, options);
}

class PipedStream implements ByteStream {
  readonly #input: Writable;
  readonly #output: Readable;
  readonly #options: PipeOptions;
  readonly #queue: Uint8Array[] = [];
  #queued = 0;
  #ended = false;
  #closed = false;
  #failure: unknown;
  #wake: (() => void) | undefined;

  constructor(source: AsyncIterable<Uint8Array>, input: Writable, output: Readable, options: PipeOptions) {
    this.#input = input;
    this.#output = output;
    this.#options = options;
    output.on("data", (chunk: Uint8Array) => this.#onData(chunk));
    output.once("end", () => this.#onEnd());
    // A child that could not be started closes its output without ending it.
    output.once("close", () => this.#onEnd());
    output.on("error", (error) => this.#onError(error));
    if (!Object.is(input, output)) input.on("error", (error) => this.#onInputError(error));
    feed(source, input).catch((error: unknown) => this.#onInputError(error));
  }

  #onData(chunk: Uint8Array): void {
    this.#queue.push(chunk);
    this.#queued += chunk.length;
    if (this.#queued >= this.#options.ahead) this.#output.pause();
    this.#notify();
  }

  #onEnd(): void {
    this.#ended = true;
    this.#notify();
  }

  #onError(error: unknown): void {
    this.#failure ??= error;
    this.#ended = true;
    this.#notify();
  }

  /** A child that found bad data closes its input: what it says of that on its other end is the better story. */
  #onInputError(error: unknown): void {
    if (this.#closed || isReaderGone(error) || errnoOf(error) === "ERR_STREAM_DESTROYED") return;
    this.#output.destroy();
    this.#onError(error);
  }

  #notify(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const chunk = this.#queue.shift();
      if (chunk !== undefined) {
        this.#queued -= chunk.length;
        if (this.#queued < this.#options.ahead && !this.#ended) this.#output.resume();
        yield chunk;
        freeSpentChunk(chunk);
      } else if (this.#closed) {
        return;
      } else if (this.#ended) {
        return await this.#checkEnd();
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  async #checkEnd(): Promise<void> {
    if (this.#failure !== undefined) throw explain(this.#failure, this.#options.describe);
    await this.#options.finished?.();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue.length = 0;
    this.#input.destroy();
    this.#output.destroy();
    this.#notify();
    // The pump may wait for a write that zlib will never confirm (zeros after the last member): it isn't waited for.
    await this.#options.release?.();
  }
}

/** Reads one chunk ahead of the one being written: the source needs two buffers, and the writer never waits for it. */
async function feed(source: AsyncIterable<Uint8Array>, sink: Writable): Promise<void> {
  let written = Promise.resolve();
  for await (const chunk of source) {
    await written;
    written = write(sink, chunk);
    // It is awaited one turn later: until then a failure must not count as unhandled.
    written.catch(() => undefined);
  }
  await written;
  sink.end();
}

/** Resolves once the chunk's bytes are used up. */
function write(sink: Writable, chunk: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    sink.write(chunk, (error) => (error ? reject(error) : resolve()));
  });
}

function explain(error: unknown, compression: string): KilnError {
  switch (errnoOf(error)) {
    case "Z_BUF_ERROR":
      return truncated(compression, error);
    case "Z_DATA_ERROR":
    case "Z_NEED_DICT":
    case "ZSTD_error_corruption_detected":
      return corrupt(compression, error instanceof Error ? error.message : String(error), error);
    default:
      return KilnError.from(error, `decompress ${compression} data`);
  }
}

/** The compressed stream ends too early. */
export function truncated(compression: string, cause?: unknown): KilnError {
  return new KilnError(Code.DataLoss, `the ${compression} data ends too early`, {
    reason: "compression-truncated",
    hint: "the data was cut off: fetch or make it again",
    cause,
  });
}

/** The compressed stream holds what no compressor wrote. */
export function corrupt(compression: string, why: string, cause?: unknown): KilnError {
  return new KilnError(Code.DataLoss, `the ${compression} data is damaged: ${why}`, {
    reason: "compression-corrupt",
    hint: "fetch or make it again",
    cause,
  });
}
