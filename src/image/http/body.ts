// Reading answers: small ones whole and bounded, large ones as chunks with a watch for stalls.

import type { IncomingMessage } from "node:http";
import { Code, KilnError } from "../../base/errors.js";
import { ImageReason } from "../reasons.js";
import { networkError, timeoutError } from "./failures.js";

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
 * The whole of a small body.
 *
 * @throws KilnError resource_exhausted `image-too-large` above the limit, deadline_exceeded `registry-timeout`
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
  return Buffer.concat(chunks);
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
