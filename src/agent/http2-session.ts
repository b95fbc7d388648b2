// One HTTP/2 session on one byte stream, for connect's gRPC client. It never opens another: a session that has ended
// stays ended, so that a call can't reach a guest that was started anew.

import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import type { Duplex } from "node:stream";
import { Code as ConnectCode, ConnectError } from "@connectrpc/connect";
import type { createGrpcTransport } from "@connectrpc/connect-node";
import { Code, KilnError } from "../base/errors.js";
import { agentGone } from "./errors.js";

export const AUTHORITY = "http://agent.kiln";
/** What the guest may send before somebody reads it, bytes: for one call and for all of them. */
const STREAM_WINDOW = 1024 * 1024;
const SESSION_WINDOW = 4 * 1024 * 1024;
/** Megabytes that node holds for a session before it refuses more; headers are a few kilobytes. */
const MOST_SESSION_MEMORY = 16;
const MOST_HEADERS = 16 * 1024;

type SessionManager = NonNullable<Parameters<typeof createGrpcTransport>[0]["sessionManager"]>;

export class SingleSession implements SessionManager {
  readonly authority = AUTHORITY;
  /** Resolves with the reason. Never rejects. */
  readonly closed: Promise<string>;
  readonly #session: ClientHttp2Session;
  readonly #stream: Duplex;

  constructor(stream: Duplex) {
    this.#stream = stream;
    this.#session = connect(AUTHORITY, {
      createConnection: () => stream,
      settings: { enablePush: false, initialWindowSize: STREAM_WINDOW, maxHeaderListSize: MOST_HEADERS },
      maxSessionMemory: MOST_SESSION_MEMORY,
      peerMaxConcurrentStreams: 1000,
    });
    this.#session.once("connect", () => this.#session.setLocalWindowSize(SESSION_WINDOW));
    this.closed = this.#watch();
  }

  async request(
    method: string,
    path: string,
    headers: Record<string, number | string | string[] | undefined>,
  ): Promise<ClientHttp2Stream> {
    if (this.#session.closed || this.#session.destroyed) {
      throw new ConnectError("the session with the guest's agent has ended", ConnectCode.Unavailable);
    }
    return this.#session.request({ ...headers, ":method": method, ":path": path }, {});
  }

  /** For keep-alive by traffic, which this session does not need: the VMM's end closes the stream. */
  notifyResponseByteRead(): void {
    return;
  }

  /** Milliseconds until the other end answered an HTTP/2 PING. */
  ping(timeoutMs: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(silent(timeoutMs)), timeoutMs);
      const finish = (settle: () => void) => {
        clearTimeout(timer);
        settle();
      };
      void this.closed.then((why) => finish(() => reject(agentGone(why))));
      if (this.#session.destroyed) return;
      this.#session.ping((error, ms) =>
        finish(() => (error === null ? resolve(ms) : reject(agentGone(error.message)))),
      );
    });
  }

  /** Ends all calls and the byte stream; resolves when it is closed. Idempotent. */
  async close(): Promise<void> {
    this.#session.destroy();
    this.#stream.destroy();
    await this.closed;
  }

  #watch(): Promise<string> {
    return new Promise((resolve) => {
      let why = "closed";
      this.#session.on("error", (error: Error) => {
        why = error.message;
      });
      this.#session.once("goaway", (code) => {
        why = `the agent said goodbye (HTTP/2 code ${code})`;
        // A session that takes no more calls is of no use: the engine opens another.
        this.#session.destroy();
      });
      this.#session.once("close", () => {
        this.#stream.destroy();
        resolve(why);
      });
    });
  }
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
