// One HTTP/2 session on one byte stream, for connect's gRPC client. It never opens another: a session that has ended
// stays ended, so that a call can't reach a guest that was started anew.

import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import type { Duplex } from "node:stream";
import { Code as ConnectCode, ConnectError } from "@connectrpc/connect";
import type { createGrpcTransport } from "@connectrpc/connect-node";
import { Code, errnoOf, KilnError } from "../base/errors.js";
import { FrameTap } from "../base/frame-tap.js";

export const AUTHORITY = "http://agent.kiln";
/** What the guest may send on one call before somebody reads it, bytes: some round trips' worth. */
const STREAM_WINDOW = 512 * 1024;
/**
 * On all calls together. Far above one call's: connections through published ports whose readers wait must not stop
 * logs and exec. What is really held is bounded by the calls that the host has opened, each with its own window.
 */
const SESSION_WINDOW = 256 * 1024 * 1024;
/** Megabytes that node holds for a session before it refuses more. */
const MOST_SESSION_MEMORY = 256;
const MOST_HEADERS = 16 * 1024;
/** What an agent serves that has not said yet: as many as the first of them. */
const FEWEST_STREAMS = 512;
/** Of a session that closed and said no more. */
const NO_REASON = "closed";

type SessionManager = NonNullable<Parameters<typeof createGrpcTransport>[0]["sessionManager"]>;

export class SingleSession implements SessionManager {
  readonly authority = AUTHORITY;
  /** Resolves with the reason. Never rejects. */
  readonly closed: Promise<string>;
  readonly #session: ClientHttp2Session;
  readonly #stream: FrameTap;
  /** Pings without an answer: a handler of each on `closed` would stay for as long as the session. */
  readonly #pings = new Set<(error: KilnError) => void>();
  #violated = false;
  #streams = FEWEST_STREAMS;

  constructor(channel: Duplex) {
    const stream = new FrameTap(channel, {
      calls: "ours",
      onGoodbye: (code) => this.#onGoodbye(code),
      onFlood: () => this.#breach("it sent far more HTTP/2 frames than there was reason for"),
    });
    this.#stream = stream;
    // Before HTTP/2's own listeners: they would end each call as if it had been cancelled.
    stream.once("error", (error: Error) => this.#end(error.message));
    stream.once("close", () => this.#end("the channel was closed"));
    this.#session = connect(AUTHORITY, {
      createConnection: () => stream,
      settings: { enablePush: false, initialWindowSize: STREAM_WINDOW, maxHeaderListSize: MOST_HEADERS },
      maxSessionMemory: MOST_SESSION_MEMORY,
      peerMaxConcurrentStreams: FEWEST_STREAMS,
    });
    this.#session.on("remoteSettings", ({ maxConcurrentStreams }) => {
      this.#streams = maxConcurrentStreams ?? FEWEST_STREAMS;
    });
    this.#session.once("connect", () => {
      // The event is told a tick later: a session that was closed at once would throw here, with nobody to catch it.
      if (!this.#session.destroyed) this.#session.setLocalWindowSize(SESSION_WINDOW);
    });
    this.closed = this.#watch();
    void this.closed.then((why) => {
      for (const fail of this.#pings) fail(agentGone(why));
    });
  }

  async request(
    method: string,
    path: string,
    headers: Record<string, number | string | string[] | undefined>,
  ): Promise<ClientHttp2Stream> {
    // The same words as for a call that was open: how it ended is what there is to know.
    if (this.#session.closed || this.#session.destroyed) throw endedWith(await this.closed);
    return this.#session.request({ ...headers, ":method": method, ":path": path }, {});
  }

  /** For keep-alive by traffic, which this session does not need: the VMM's end closes the stream. */
  notifyResponseByteRead(): void {
    return;
  }

  /** How many calls the agent serves at a time. */
  get streams(): number {
    return this.#streams;
  }

  /** True once the other end has broken HTTP/2. */
  get violated(): boolean {
    return this.#violated;
  }

  /** Milliseconds until the other end answered an HTTP/2 PING. */
  ping(timeoutMs: number): Promise<number> {
    const before = this.#stream.place;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        fail(silent(timeoutMs));
        const { inFrame, received } = this.#stream.place;
        // What began as a frame was none, or its rest was lost: no answer can come behind it.
        if (inFrame && received === before.received) this.#end("the guest stopped in the middle of a frame");
      }, timeoutMs);
      const fail = (error: KilnError) => {
        clearTimeout(timer);
        this.#pings.delete(fail);
        reject(error);
      };
      this.#pings.add(fail);
      if (this.#session.destroyed) return void this.closed.then((why) => fail(agentGone(why)));
      this.#session.ping((error, ms) => {
        if (error !== null) return fail(agentGone(error.message));
        clearTimeout(timer);
        this.#pings.delete(fail);
        resolve(ms);
      });
    });
  }

  /** Ends all calls and the byte stream; resolves when it is closed. Idempotent. */
  async close(): Promise<void> {
    this.#end("the host closed it");
    await this.closed;
  }

  /** We say goodbye with a code where the other end broke the rules: nothing that it sends is read any more. */
  #onGoodbye(code: number): void {
    if (code !== constants.NGHTTP2_NO_ERROR) this.#breach(`code ${code}`);
  }

  #breach(how: string): void {
    this.#violated = true;
    // Not inside the read or write that it was found in.
    setImmediate(() => this.#end(`the guest broke HTTP/2 (${how})`));
  }

  /** Every open call fails with the reason; the first reason counts. */
  #end(why: string): void {
    if (!this.#session.destroyed) this.#session.destroy(sessionEnded(why), constants.NGHTTP2_NO_ERROR);
    this.#stream.destroy();
  }

  #watch(): Promise<string> {
    return new Promise((resolve) => {
      let why = NO_REASON;
      this.#session.on("error", (error: Error) => {
        const ours = error instanceof ConnectError;
        why = ours ? error.rawMessage : error.message;
        // What is not ours and not the channel's is HTTP/2's own: the other end has broken it.
        this.#violated ||= !ours && errnoOf(error)?.startsWith("ERR_HTTP2") === true;
      });
      // A session that takes no more calls is of no use: the engine opens another.
      this.#session.once("goaway", (code) => {
        const why = `the agent said goodbye (HTTP/2 code ${code})`;
        this.#violated ||= code !== constants.NGHTTP2_NO_ERROR;
        this.#end(why);
      });
      this.#session.once("close", () => {
        this.#stream.destroy();
        resolve(this.#violated && why === NO_REASON ? "the guest broke HTTP/2" : why);
      });
    });
  }
}

/** @param reason of `closed`, which says of a whole session what it is about */
function endedWith(reason: string): ConnectError {
  return reason === NO_REASON
    ? sessionEnded("it is closed")
    : new ConnectError(reason, ConnectCode.Unavailable);
}

function sessionEnded(why: string): ConnectError {
  return new ConnectError(`the session with the guest's agent has ended: ${why}`, ConnectCode.Unavailable);
}

/** The session has ended: nothing more can be asked on it. */
function agentGone(reason: string): KilnError {
  return new KilnError(Code.Unavailable, `the session with the agent has ended: ${reason}`, {
    reason: "agent-gone",
  });
}

function silent(ms: number): KilnError {
  return new KilnError(
    Code.DeadlineExceeded,
    `the guest's agent gave no sign of life within ${ms / 1000} s`,
    {
      reason: "agent-silent",
    },
  );
}
