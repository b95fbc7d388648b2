// One socket for gRPC, Connect and plain JSON: the first bytes of a connection tell HTTP/2 from HTTP/1.1, and it is
// handed to the server for it. No bytes are interpreted here beyond those.

import * as http from "node:http";
import * as http2 from "node:http2";
import * as net from "node:net";
import type { ConnectRouter, Interceptor } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { KilnError } from "../base/errors.js";
import type { Logger } from "../base/log.js";
import { watchOverhead } from "./client-overhead.js";

export interface ProtocolServerOptions {
  readonly routes: (router: ConnectRouter) => void;
  readonly interceptors: Interceptor[];
  readonly log: Logger;
}

export interface ProtocolServer {
  /** Not listening yet: the caller chooses a path or an inherited descriptor. */
  readonly socket: net.Server;
  /** Ends all connections and stops listening. */
  close(): Promise<void>;
}

/** How an HTTP/2 connection begins (RFC 9113, 3.4); three bytes are enough. */
const PREFACE = "PRI";
/** What a client may send in one message: a chunk of a tar, of stdin. Also the bound of one JSON body. */
const MOST_MESSAGE = 16 * 1024 ** 2;
/** A client that opens a connection and says nothing must not hold it for ever. */
const FIRST_BYTES_MS = 30_000;

type Handler = ReturnType<typeof connectNodeAdapter>;

export function createProtocolServer(options: ProtocolServerOptions): ProtocolServer {
  const { routes, interceptors, log } = options;
  const adapter = connectNodeAdapter({
    routes,
    interceptors,
    readMaxBytes: MOST_MESSAGE,
    fallback: notFound,
  });
  const handler = guarded(adapter, log);
  const plain = http.createServer({ requestTimeout: 0 }, handler);
  const multiplexed = http2.createServer(
    // A large window for each stream. The connection's own stays at 64 KiB: Node's HTTP/2 does not read while a write of
    // its own waits, so a client's data must always fit into the socket's buffer, or both may wait for ever.
    { settings: { initialWindowSize: 1024 ** 2, maxConcurrentStreams: 1_000 } },
    handler,
  );
  for (const server of [plain, multiplexed]) {
    server.on("clientError", (_: Error, socket: net.Socket) => socket.destroy());
  }
  multiplexed.on("sessionError", (error) => log.debug("a client's session failed", { why: error.message }));
  return listener((http2Speaker, connection) => {
    if (http2Speaker) serveWatched(multiplexed, connection, log);
    else plain.emit("connection", connection);
  });
}

/** Ends a client that keeps kilnd busy with frames that carry nothing. */
function serveWatched(server: http2.Http2Server, connection: net.Socket, log: Logger): void {
  const watch = (session: http2.ServerHttp2Session) =>
    watchOverhead(session, connection, () => {
      log.warn("a client's connection is ended: it sends far more HTTP/2 frames than it has reason to");
      const why = new Error("far more HTTP/2 frames than there was reason for");
      session.destroy(why, http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
    });
  // Told within the call, where it begins one at all.
  server.once("session", watch);
  server.emit("connection", connection);
  server.off("session", watch);
}

function listener(handOver: (http2Speaker: boolean, connection: net.Socket) => void): ProtocolServer {
  const connections = new Set<net.Socket>();
  const socket = net.createServer((connection) => {
    connections.add(connection);
    connection.once("close", () => connections.delete(connection));
    connection.on("error", () => connection.destroy());
    connection.setTimeout(FIRST_BYTES_MS, () => connection.destroy());
    peek(connection, PREFACE.length, (first) => {
      connection.setTimeout(0);
      handOver(first.toString("latin1") === PREFACE, connection);
    });
  });
  return {
    socket,
    close: async () => {
      for (const connection of connections) connection.destroy();
      await new Promise<void>((resolve) => {
        socket.close(() => resolve());
      });
    },
  };
}

/**
 * Calls back with the first bytes, which the connection gives again to whoever reads it next. They are held here until
 * there are enough: what is given back to a stream is told as news at once, and asking again would never end.
 */
function peek(connection: net.Socket, count: number, found: (first: Buffer) => void): void {
  let held = Buffer.alloc(0);
  const look = () => {
    const bytes: Buffer | null = connection.read();
    if (bytes === null) return;
    held = Buffer.concat([held, bytes]);
    if (held.length < count && PREFACE.startsWith(held.toString("latin1"))) return;
    connection.off("readable", look);
    connection.unshift(held);
    found(held.subarray(0, count));
  };
  connection.on("readable", look);
}

/**
 * Some gRPC clients send the socket's percent-encoded path as :authority; connect-node 2.1 throws on it inside the
 * request event, which would end the process. Nobody here reads it, so it is replaced.
 */
function guarded(handler: Handler, log: Logger): Handler {
  return (request, response) => {
    try {
      if (request.headers[":authority"] !== undefined) request.headers[":authority"] = "localhost";
      if (request.headers.host !== undefined) request.headers.host = "localhost";
      handler(request, response);
    } catch (error) {
      log.warn("a request could not be handled", { why: KilnError.from(error).message });
      request.socket.destroy();
    }
  };
}

const NOT_FOUND =
  '{"code":"not_found","message":"no such path; calls go to /<package>.<Service>/<Method>, of kiln.v1 here or runtime.v1 on the socket for Kubernetes"}\n';

const notFound: Handler = (_, response) => {
  // Both kinds of response have these two, but TypeScript finds no common call.
  const answer = response as http.ServerResponse;
  answer.writeHead(404, { "content-type": "application/json" });
  answer.end(NOT_FOUND);
};
