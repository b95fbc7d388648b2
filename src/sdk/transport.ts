// The Connect protocol with JSON over HTTP/2 on a unix socket: all that the SDK needs of RPC, without the import cost of
// a protobuf runtime (docs/design/0004-client-transport.md). Knows calls by name; what messages mean is the callers'.

import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  constants,
} from "node:http2";
import type { Socket } from "node:net";
import { orAborted } from "../base/abort.js";
import type { StreamCalls, StreamName, UnaryCalls, UnaryName } from "./calls.js";
import { DaemonPulse, PATIENCE, type PulseOptions } from "./daemon-pulse.js";
import { type CallOptions, callError, deadlineSignal, endedError, throwIfEnded } from "./deadline.js";
import { cancelOn, collectBody, openRequest } from "./http-exchange.js";
import { LastingStream, type LastingWords } from "./lasting-stream.js";
import { type Calls, callName, type SubjectOptions } from "./scoped-calls.js";
import { ClientClosed, connectionLost, errorFromHttpStatus, errorFromWire } from "./wire-error.js";
import { WireStream } from "./wire-stream.js";

/** Longest unary answer taken. */
const MAX_BODY_BYTES = 64 * 1024 * 1024;
/**
 * Bytes of one stream in flight before its reader must read on. Node gives connection-level credit back at once, so
 * this alone is what makes a slow reader pause the program in the guest, without stopping other streams.
 */
const STREAM_WINDOW_BYTES = 256 * 1024;
const CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024;

/** Gives a connected socket to kilnd; called again when the connection was lost, and told so. */
export type OpenSocket = (again: boolean) => Promise<Socket>;

/** Calls kilnd. One HTTP/2 connection, opened at the first call; idle, it does not keep the process alive. */
export class Transport implements Calls {
  readonly #openSocket: OpenSocket;
  readonly #patience: PulseOptions;
  #session: Promise<ClientHttp2Session> | undefined;
  /** Streams of each connection: one that was told to go away has its own until they end. */
  readonly #active = new WeakMap<ClientHttp2Session, { calls: number; readonly pulse: DaemonPulse }>();
  #closed = false;
  #opened = false;

  constructor(openSocket: OpenSocket, patience = PATIENCE) {
    this.#openSocket = openSocket;
    this.#patience = patience;
  }

  /** Opens the connection, where the first call would. */
  async connect(options: CallOptions = {}): Promise<void> {
    await this.#connected("connect to kilnd", deadlineSignal(options));
  }

  /** One request, one response. */
  async unary<M extends UnaryName>(
    method: M,
    request: UnaryCalls[M]["request"],
    options: SubjectOptions = {},
  ): Promise<UnaryCalls[M]["response"]> {
    const signal = deadlineSignal(options);
    const what = callName(method, options);
    throwIfEnded(signal, what);
    const stream = await this.#openStream(method, "application/json", options, signal);
    using _ = cancelOn(stream, signal);
    try {
      stream.end(JSON.stringify(request));
      const { status, body } = await collectBody(stream, MAX_BODY_BYTES);
      return parseUnary(method, status, body) as UnaryCalls[M]["response"];
    } catch (error) {
      throw callError(error, signal, what) ?? connectionLost(what, error);
    }
  }

  /** A call whose requests, responses or both are streams. Opens at once; errors come out of its iteration. */
  stream<M extends StreamName>(
    method: M,
    options: SubjectOptions = {},
  ): WireStream<StreamCalls[M]["request"], StreamCalls[M]["response"]> {
    const signal = deadlineSignal(options);
    const opened = this.#openStream(method, "application/connect+json", options, signal);
    return new WireStream(callName(method, options), opened, signal);
  }

  /** A call with one request and a stream of responses. */
  serverStream<M extends StreamName>(
    method: M,
    request: StreamCalls[M]["request"],
    options: SubjectOptions = {},
  ): AsyncGenerator<StreamCalls[M]["response"], void> {
    const stream = this.stream(method, options);
    stream.send(request).catch(() => undefined); // the failure comes out of the iteration
    stream.end();
    return stream.messages();
  }

  /** A call that carries a program: where the connection breaks it goes on over the next one. */
  lasting<M extends "VmService/Exec" | "VmService/Attach">(
    method: M,
    words: LastingWords<StreamCalls[M]["request"], StreamCalls[M]["response"]>,
    options: SubjectOptions = {},
  ): LastingStream<StreamCalls[M]["request"], StreamCalls[M]["response"]> {
    const { subject, timeoutMs } = options;
    const signal = deadlineSignal(options);
    const end = timeoutMs === undefined ? undefined : Date.now() + timeoutMs;
    const what = callName(method, options);
    const open = () => {
      const left = end === undefined ? undefined : Math.max(1, end - Date.now());
      const about = { subject, timeoutMs: left };
      const stream = this.#openStream(method, "application/connect+json", about, signal);
      return new WireStream<StreamCalls[M]["request"], StreamCalls[M]["response"]>(what, stream, signal);
    };
    return new LastingStream(open, words, { what, signal, isOpen: () => !this.#closed });
  }

  /** Ends the connection; calls under way fail with cancelled `client-closed`. */
  async close(): Promise<void> {
    this.#closed = true;
    const session = await this.#session?.catch(() => undefined);
    this.#session = undefined;
    session?.destroy(new ClientClosed(), constants.NGHTTP2_NO_ERROR);
  }

  async #openStream(
    method: string,
    contentType: string,
    options: SubjectOptions,
    signal: AbortSignal | undefined,
  ): Promise<ClientHttp2Stream> {
    const session = await this.#connected(callName(method, options), signal);
    const stream = openRequest(session, method, contentType, options.timeoutMs);
    this.#hold(session);
    stream.once("close", () => this.#release(session));
    return stream;
  }

  /** The live connection, opened if need be. All calls share one attempt, so a call's signal only ends its own wait. */
  async #connected(method: string, signal: AbortSignal | undefined): Promise<ClientHttp2Session> {
    for (;;) {
      throwIfEnded(signal, method);
      if (this.#closed) throw connectionLost(method, new ClientClosed());
      this.#session ??= this.#open();
      const opening = this.#session;
      const session = await orAborted(opening, signal, (ended) => endedError(ended, method));
      if (!session.closed && !session.destroyed) return session;
      if (this.#session === opening) this.#session = undefined;
    }
  }

  #open(): Promise<ClientHttp2Session> {
    const opening = this.#openSocket(this.#opened).then(openSession);
    this.#opened = true;
    // A failed attempt is forgotten, so that the next call tries again.
    opening.catch(() => {
      if (this.#session === opening) this.#session = undefined;
    });
    return opening;
  }

  #hold(session: ClientHttp2Session): void {
    const active = this.#active.get(session) ?? {
      calls: 0,
      pulse: new DaemonPulse(session, this.#patience),
    };
    this.#active.set(session, active);
    if (active.calls++ > 0 || session.destroyed) return;
    session.ref();
    active.pulse.start();
  }

  #release(session: ClientHttp2Session): void {
    const active = this.#active.get(session);
    if (active === undefined || --active.calls > 0) return;
    active.pulse.stop();
    if (!session.destroyed) session.unref();
  }
}

function parseUnary(method: string, status: number, body: Buffer): unknown {
  let value: unknown;
  try {
    value = JSON.parse(body.toString("utf8"));
  } catch (error) {
    throw status === 200 ? connectionLost(method, error) : errorFromHttpStatus(status, method);
  }
  if (status === 200) return value;
  throw errorFromWire(value);
}

function openSession(socket: Socket): ClientHttp2Session {
  const session = connectHttp2("http://localhost", {
    createConnection: () => socket,
    settings: { enablePush: false, initialWindowSize: STREAM_WINDOW_BYTES },
  });
  // Failures reach the streams; without a listener the session's own copy would end the process.
  session.on("error", () => undefined);
  session.once("connect", () => {
    // The event comes even to a session that was closed meanwhile.
    if (!session.destroyed) session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
  });
  session.unref();
  return session;
}
