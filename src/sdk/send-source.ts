// A call that sends a start message and then bytes, and gets one answer: archives in, images in.

import type { WireStream } from "./wire-stream.js";

const SEND_BYTES = 64 * 1024;

/** Sends all of `source`; gives the answer, undefined where the peer ended without one. */
export async function sendSource<Request extends { data?: string }, Response>(
  stream: WireStream<Request, Response>,
  start: Request,
  source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<Response | undefined> {
  const answer = firstOf(stream.messages());
  answer.catch(() => undefined); // awaited below, after the sending
  try {
    // A send fails when kilnd has refused: its answer says why.
    let open = await succeeds(stream.send(start));
    for await (const chunk of source) {
      open = open && (await succeeds(sendPieces(stream, chunk)));
      if (!open) break;
    }
  } catch (error) {
    stream.cancel(); // the source broke: what was sent is not whole
    throw error;
  }
  stream.end();
  return answer;
}

async function firstOf<T>(messages: AsyncIterable<T>): Promise<T | undefined> {
  for await (const message of messages) return message;
  return undefined;
}

function succeeds(sending: Promise<void>): Promise<boolean> {
  return sending.then(
    () => true,
    () => false,
  );
}

async function sendPieces<Request extends { data?: string }>(
  stream: WireStream<Request, unknown>,
  chunk: Uint8Array,
): Promise<void> {
  for (let at = 0; at < chunk.byteLength; at += SEND_BYTES) {
    const length = Math.min(SEND_BYTES, chunk.byteLength - at);
    const data = Buffer.from(chunk.buffer, chunk.byteOffset + at, length).toString("base64");
    await stream.send({ data } as Request);
  }
}
