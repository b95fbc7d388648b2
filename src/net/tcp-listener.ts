// A TCP port of the host, forwarded: back-pressure and half-close both ways, a bounded number of connections.

import { createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { PortMapping } from "../base/ports.js";
import { dialWithin } from "./dial-within.js";
import type { PublishedPort, PublishLimits } from "./types.js";

const BACKLOG = 511;
/**
 * A client that went without a word, or closed both halves at once, looks like one that still listens. Its own kernel
 * tells them apart: asked for a sign of life, it resets what nobody holds any more (on Linux after a minute).
 */
const KEEPALIVE_MS = 15_000;
/** After so long without a byte, a connection whose client has said all makes room for a new one. */
const HALF_DEAD_MS = 10_000;

/** @throws Node's own error where the address cannot be bound */
export async function publishTcp(
  mapping: PortMapping,
  dial: (signal: AbortSignal) => Promise<Duplex>,
  limits: PublishLimits,
): Promise<PublishedPort> {
  const listener = new TcpListener(mapping, dial, limits);
  await listener.listen();
  return listener;
}

class TcpListener implements PublishedPort {
  readonly #server: Server;
  readonly #dial: (signal: AbortSignal) => Promise<Duplex>;
  readonly #limits: PublishLimits;
  /** When a byte last moved, or the client said that it was its last. */
  readonly #sockets = new Map<Socket, number>();
  #mapping: PortMapping;
  #closing: Promise<void> | undefined;

  constructor(mapping: PortMapping, dial: (signal: AbortSignal) => Promise<Duplex>, limits: PublishLimits) {
    this.#mapping = mapping;
    this.#dial = dial;
    this.#limits = limits;
    // Nothing is read from a client before there is somewhere to put it.
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) =>
      this.#accept(socket),
    );
  }

  get mapping(): PortMapping {
    return this.#mapping;
  }

  get active(): number {
    return this.#sockets.size;
  }

  listen(): Promise<void> {
    const { hostIp: host, hostPort: port } = this.#mapping;
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      // ipv6Only: "::" must not take the IPv4 port of another mapping with it.
      this.#server.listen({ host, port, backlog: BACKLOG, ipv6Only: true }, () => {
        this.#server.removeListener("error", reject);
        // Out of file descriptors: the client waits in the backlog, the listener lives on.
        this.#server.on("error", () => undefined);
        this.#mapping = { ...this.#mapping, hostPort: portOf(this.#server) };
        resolve();
      });
    });
  }

  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      this.#server.close(() => resolve());
      for (const socket of this.#sockets.keys()) socket.destroy();
    });
    return this.#closing;
  }

  #accept(socket: Socket): void {
    if (this.#sockets.size >= this.#limits.maxConnections && !this.#makeRoom()) {
      socket.resetAndDestroy();
      return;
    }
    const touch = () => void this.#sockets.set(socket, Date.now());
    touch();
    socket.setKeepAlive(true, KEEPALIVE_MS);
    socket.on("end", touch).on("drain", touch);
    const gone = new AbortController();
    socket.once("close", () => {
      this.#sockets.delete(socket);
      gone.abort();
    });
    socket.on("error", () => socket.destroy());
    void this.#forward(socket, gone);
  }

  #makeRoom(): boolean {
    const before = Date.now() - HALF_DEAD_MS;
    for (const [socket, moved] of this.#sockets) {
      if (!socket.readableEnded || moved > before) continue;
      this.#sockets.delete(socket);
      socket.resetAndDestroy();
      return true;
    }
    return false;
  }

  async #forward(socket: Socket, gone: AbortController): Promise<void> {
    let guest: Duplex;
    try {
      guest = await dialWithin(this.#limits.dialTimeoutMs, gone, this.#dial);
    } catch {
      // The same that a client sees of a port where nobody listens; the guest's reasons are not the client's.
      socket.resetAndDestroy();
      return;
    }
    if (socket.destroyed) {
      guest.on("error", () => undefined);
      guest.destroy();
      return;
    }
    guest.on("data", () => {
      if (this.#sockets.has(socket)) this.#sockets.set(socket, Date.now());
    });
    join(socket, guest);
  }
}

/** Carries bytes both ways until both directions have ended, or one side has failed. */
function join(socket: Socket, guest: Duplex): void {
  // A failure in the guest is a reset for the client: a clean end would look like a whole answer.
  guest.on("error", () => socket.resetAndDestroy());
  guest.once("close", () => {
    // The guest takes no more: what it has sent is still to go out, what the client sends has nowhere to go.
    if (guest.readableEnded) socket.destroySoon();
    else socket.resetAndDestroy();
  });
  socket.once("close", () => {
    // After a clean end of both directions the guest's side may still be writing its last bytes.
    if (!(socket.readableEnded && socket.writableFinished)) guest.destroy();
  });
  guest.pipe(socket);
  socket.pipe(guest);
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}
