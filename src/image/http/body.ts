// Reading answers: small ones whole and bounded, large ones as chunks with a watch for stalls.

import type { IncomingMessage } from "node:http";
import { promisify } from "node:util";
import { brotliDecompress, gunzip, inflate } from "node:zlib";
import { Code, errnoOf, KilnError } from "../../base/errors.js";
import { ImageReason } from "../reasons.js";
import { networkError, quoteServer, timeoutError } from "./failures.js";

/** Fewer bytes than this within `stallMs` is a stall: a server that drips must not hold a pull for ever. */
const STALL_BYTES = 1024;

export interface ReadOptions {
  /** For messages: "registry ghcr.io". */
  readonly what: string;
  readonly stallMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The body's chunks. The clock runs only while we wait for the server: a slow disk on our side is not a stall.
 *
 * @throws KilnError unavailable where the connection is cut, deadline_exceeded `registry-timeout` where it stalls
 */
export async function* readChunks(body: IncomingMessage, options: ReadOptions): AsyncGenerator<Buffer> {
  let waiting = false;
  let received = 0;
  const watch = setInterval(() => {
    if (waiting && received < STALL_BYTES) body.destroy(timeoutError(options.what, options.stallMs));
    received = 0;
  }, options.stallMs);
  try {
    const chunks = body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    for (;;) {
      waiting = true;
      const { done, value } = await chunks.next();
      waiting = false;
      if (done === true) return;
      received += value.length;
      yield value;
    }
  } catch (error) {
    throw networkError(error, options.what, options.signal);
  } finally {
    clearInterval(watch);
    body.destroy();
  }
}

export interface WholeOptions extends ReadOptions {
  /** Bytes. */
  readonly limit: number;
  /** Time for all of it: a drip just above the stall bound must not last for hours. */
  readonly answerMs: number;
}

/**
 * The whole of a small body, out of its content encoding: we ask for none, but some servers encode whatever is asked.
 *
 * @throws KilnError resource_exhausted `image-too-large` above the limit, encoded or not, deadline_exceeded
 *   `registry-timeout`, failed_precondition `registry-error` for an encoding that can't be read
 */
export async function readWhole(body: IncomingMessage, options: WholeOptions): Promise<Buffer> {
  const announced = Number(body.headers["content-length"] ?? 0);
  if (announced > options.limit) {
    body.destroy();
    throw tooLarge(options.what, options.limit);
  }
  const clock = setTimeout(
    () => body.destroy(timeoutError(options.what, options.answerMs)),
    options.answerMs,
  );
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of readChunks(body, options)) {
      size += chunk.length;
      if (size > options.limit) throw tooLarge(options.what, options.limit);
      chunks.push(chunk);
    }
  } finally {
    clearTimeout(clock);
  }
  return await decode(Buffer.concat(chunks), body.headers["content-encoding"], options);
}

const DECODERS: Readonly<Record<string, (data: Buffer, limit: number) => Promise<Buffer>>> = {
  gzip: decoder(promisify(gunzip)),
  "x-gzip": decoder(promisify(gunzip)),
  deflate: decoder(promisify(inflate)),
  br: decoder(promisify(brotliDecompress)),
};

function decoder(run: (data: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>) {
  return (data: Buffer, limit: number) => run(data, { maxOutputLength: limit });
}

async function decode(data: Buffer, encoding: string | undefined, options: WholeOptions): Promise<Buffer> {
  const name = encoding?.trim().toLowerCase() ?? "";
  if (name === "" || name === "identity" || data.length === 0) return data;
  const run = Object.hasOwn(DECODERS, name) ? DECODERS[name] : undefined;
  if (run === undefined) throw undecodable(options.what, name, "kiln can't read that");
  try {
    return await run(data, options.limit);
  } catch (error) {
    if (errnoOf(error) === "ERR_BUFFER_TOO_LARGE") throw tooLarge(options.what, options.limit);
    throw undecodable(options.what, name, "but it is not");
  }
}

function undecodable(what: string, encoding: string, why: string): KilnError {
  const message = `${what}: the answer is said to be in the content encoding ${quoteServer(encoding)}, ${why}`;
  return new KilnError(Code.FailedPrecondition, message, { reason: ImageReason.RegistryError });
}

/** A body that is only quoted in an error: empty where it is too long or does not come. Never throws. */
export async function readForError(body: IncomingMessage, options: WholeOptions): Promise<Buffer> {
  try {
    return await readWhole(body, options);
  } catch {
    return Buffer.alloc(0); // the status line has said enough
  }
}

function tooLarge(what: string, limit: number): KilnError {
  return new KilnError(Code.ResourceExhausted, `${what}: the answer is larger than ${limit} bytes`, {
    reason: ImageReason.ImageTooLarge,
  });
}
