// What a client sends beside its calls, HTTP/2's own words: windows that grow, pings, priorities, frames of unknown kinds,
// data without a byte. All are legal in any number, and a stream of them takes most of a processor. They are told by
// their bytes and not frame by frame (as a guest's are, base/frame-tap.ts): to look at each byte here would double what a
// copy costs kilnd.

import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";

/** Sums of one connection. */
export interface Traffic {
  readonly received: number;
  readonly sent: number;
  /** Of what was received, the bytes of messages. */
  readonly payload: number;
  readonly calls: number;
  /** Of these, the ones that ended with messages unread. */
  readonly unread: number;
  /** Of what was sent, the bytes that acknowledge pings and settings: nothing follows from them. */
  readonly acknowledged: number;
}

/** Some 300,000 frames at once: what may be on its way for the data of large windows, and data that nobody reads any more. */
const MOST_AT_ONCE = 4 * 1024 ** 2;
/** Some 5,000 frames a second without a reason, a few thousandths of a processor. */
const PER_SECOND = 64 * 1024;
/** For every byte sent: of the smallest frame (a byte behind nine) two windows may be told that they have grown, and more. */
const PER_SENT = 5;
/** Headers, and frames about the messages. */
const PER_CALL = 4096;
/** A message of a few bytes is in a frame of its own. */
const OF_PAYLOAD = 1;
/** Of a call that was answered before all of it was read: what was sent into its window meanwhile is dropped unseen. */
const PER_UNREAD_CALL = 1024 ** 2;
const LOOK_MS = 250;
const PING_ACK = 17;
const SETTINGS_ACK = 9;
const NOTHING: Traffic = { received: 0, sent: 0, payload: 0, calls: 0, unread: 0, acknowledged: 0 };

/** How much of it there may still be. Pure. */
export class OverheadBudget {
  #left = MOST_AT_ONCE;
  #before = NOTHING;

  /** @returns false once there was too much. @param elapsedMs since the last look */
  allows(now: Traffic, elapsedMs: number): boolean {
    const before = this.#before;
    this.#before = now;
    const payload = now.payload - before.payload;
    const overhead = now.received - before.received - payload;
    const reasons =
      (elapsedMs / 1000) * PER_SECOND +
      Math.max(0, now.sent - before.sent - (now.acknowledged - before.acknowledged)) * PER_SENT +
      (now.calls - before.calls) * PER_CALL +
      (now.unread - before.unread) * PER_UNREAD_CALL +
      payload * OF_PAYLOAD;
    this.#left = Math.min(MOST_AT_ONCE, this.#left + reasons - overhead);
    return this.#left >= 0;
  }
}

/** Looks at a client's session until it ends; calls back once, where it sends far more than it has reason to. */
export function watchOverhead(session: ServerHttp2Session, socket: Socket, onFlood: () => void): void {
  let [payload, calls, unread, acknowledged] = [0, 0, 0, 0];
  session.on("stream", (stream) => {
    calls++;
    countMessages(stream, (bytes) => {
      payload += bytes;
    });
    stream.once("close", () => {
      if (!stream.readableEnded) unread++;
    });
  });
  session.on("ping", () => {
    acknowledged += PING_ACK;
  });
  session.on("remoteSettings", () => {
    acknowledged += SETTINGS_ACK;
  });
  const budget = new OverheadBudget();
  let at = performance.now();
  const look = () => {
    const now = performance.now();
    const { bytesRead: received, bytesWritten: sent } = socket;
    if (budget.allows({ received, sent, payload, calls, unread, acknowledged }, now - at)) {
      at = now;
      return;
    }
    clearInterval(timer);
    onFlood();
  };
  const timer = setInterval(look, LOOK_MS).unref();
  session.once("close", () => clearInterval(timer));
}

/** Every byte of a call's messages comes through `push`, before anybody can read it. */
function countMessages(stream: ServerHttp2Stream, count: (bytes: number) => void): void {
  const push = stream.push.bind(stream);
  stream.push = (chunk: Buffer | null, encoding?: BufferEncoding) => {
    if (chunk !== null) count(chunk.length);
    return push(chunk, encoding);
  };
}
