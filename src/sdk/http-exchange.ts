// The few HTTP/2 steps that unary calls and streams share. Knows headers and bodies, nothing of Connect's messages.

import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  constants,
  type IncomingHttpHeaders,
} from "node:http2";
import { onAbort } from "../base/abort.js";
import { Code, KilnError } from "../base/errors.js";

/** The status of each stream's response: headers come when they come, and nobody may be listening yet. */
const statuses = new WeakMap<ClientHttp2Stream, Promise<number>>();

/** Opens a request to `/kiln.v1.<method>`. Its response may be asked for at any time later. */
export function openRequest(
  session: ClientHttp2Session,
  method: string,
  contentType: string,
  timeoutMs: number | undefined,
): ClientHttp2Stream {
  const stream = session.request({
    ":method": "POST",
    ":path": `/kiln.v1.${method}`,
    "content-type": contentType,
    "connect-protocol-version": "1",
    // kilnd bounds its own work with the same deadline, so that it does not outlive a client that vanished.
    ...(timeoutMs === undefined ? {} : { "connect-timeout-ms": String(Math.ceil(timeoutMs)) }),
  });
  // Errors are read where the stream is consumed; one that fails unread must not end the process.
  stream.on("error", () => undefined);
  const status = awaitStatus(stream);
  status.catch(() => undefined);
  statuses.set(stream, status);
  return stream;
}

/** The response's status, of a stream from `openRequest`. Rejects where the stream ends before it has one. */
export function responseStatus(stream: ClientHttp2Stream): Promise<number> {
  return statuses.get(stream) ?? awaitStatus(stream);
}

function awaitStatus(stream: ClientHttp2Stream): Promise<number> {
  return new Promise((resolve, reject) => {
    const settle = (then: () => void) => {
      stream.off("response", onResponse);
      stream.off("error", onError);
      stream.off("close", onClose);
      then();
    };
    const onResponse = (headers: IncomingHttpHeaders & { ":status"?: number }) =>
      settle(() => resolve(headers[":status"] ?? 0));
    const onError = (error: Error) => settle(() => reject(error));
    const onClose = () => settle(() => reject(resetError(stream)));
    stream.on("response", onResponse);
    stream.on("error", onError);
    stream.on("close", onClose);
    if (stream.destroyed) onClose();
  });
}

/**
 * Status and whole body.
 *
 * @throws KilnError resource_exhausted `message-too-large`
 */
export async function collectBody(
  stream: ClientHttp2Stream,
  maxBytes: number,
): Promise<{ status: number; body: Buffer }> {
  const status = await responseStatus(stream);
  return { status, body: await readBody(stream, maxBytes) };
}

/** The body that follows a status already read. */
export async function readBody(stream: ClientHttp2Stream, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) {
      throw new KilnError(Code.ResourceExhausted, `kilnd sent an answer of more than ${maxBytes} bytes`, {
        reason: "message-too-large",
      });
    }
    chunks.push(chunk);
  }
  if (stream.aborted) throw resetError(stream);
  return Buffer.concat(chunks);
}

/** Resets the stream when the signal says so, until it is disposed of. */
export function cancelOn(stream: ClientHttp2Stream, signal: AbortSignal | undefined): Disposable {
  return onAbort(signal, () => resetStream(stream));
}

/** Tells the peer that nobody reads on: kilnd cancels the call, which kills a process it started. */
export function resetStream(stream: ClientHttp2Stream): void {
  if (!stream.closed) stream.close(constants.NGHTTP2_CANCEL);
  stream.destroy();
}

function resetError(stream: ClientHttp2Stream): Error {
  return new Error(`the stream was reset (code ${stream.rstCode ?? "none"})`);
}
