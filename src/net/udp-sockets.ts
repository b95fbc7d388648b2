// The sockets of one published UDP port. "All addresses" takes one for each that the host has: an answer must come from
// the address that was asked, or clients drop it, and Node does not tell which one a datagram came to. Where Node lets
// sockets of one user share a port (22.12 and newer), one more takes what is meant for none of the others: broadcasts,
// and addresses that have just appeared.

import { createSocket, type RemoteInfo, type Socket, type SocketOptions } from "node:dgram";
import { errnoOf } from "../base/errors.js";
import type { Family, LocalNetwork } from "./local-addresses.js";

/** One address that was asked. */
export interface Door {
  readonly address: string;
  /** Lost where the host does not have the address any more. */
  answer(datagram: Uint8Array, client: RemoteInfo): void;
}

export type OnDatagram = (datagram: Buffer, client: RemoteInfo, door: Door) => void;

/** Between the choice of a free port and its sockets somebody else may take a part of it. */
const MOST_TRIES = 8;
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
const CAN_SHARE = major > 23 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12);

export class UdpSockets {
  readonly #hostIp: string;
  readonly #network: LocalNetwork;
  readonly #onDatagram: OnDatagram;
  /** By address. */
  readonly #sockets = new Map<string, Socket>();
  #port = 0;
  #unwatch: () => void = () => undefined;
  #turn: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(hostIp: string, network: LocalNetwork, onDatagram: OnDatagram) {
    this.#hostIp = hostIp;
    this.#network = network;
    this.#onDatagram = onDatagram;
  }

  /**
   * @param port 0: any free one
   * @returns the port
   * @throws Node's own error where it can't be bound
   */
  async bind(port: number): Promise<number> {
    for (let left = MOST_TRIES; ; left--) {
      try {
        await this.#bind(port);
        break;
      } catch (error) {
        await this.#closeAll();
        if (port !== 0 || left === 1 || errnoOf(error) !== "EADDRINUSE") throw error;
      }
    }
    if (this.#isForAll) this.#unwatch = this.#network.watch(() => void this.refresh());
    return this.#port;
  }

  /** Follows the host's addresses. Resolves once those of now are served. */
  refresh(): Promise<void> {
    this.#turn = this.#turn.then(() => this.#refresh());
    return this.#turn;
  }

  /** Resolves when the port is free. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#unwatch();
    await this.#turn;
    await this.#closeAll();
  }

  get #isForAll(): boolean {
    return this.#hostIp === "0.0.0.0" || this.#hostIp === "::";
  }

  async #bind(port: number): Promise<void> {
    // Alone on it: nobody else may have any part of the port.
    await this.#open(this.#hostIp, port, false);
    const addresses = this.#isForAll ? this.#addresses() : [];
    if (addresses.length === 0) return;
    await this.#closeAll();
    if (CAN_SHARE) await this.#open(this.#hostIp, this.#port, true);
    await this.#openAll(addresses, (error) => {
      // An address that is being set up (IPv6), or has gone meanwhile: the next look tells.
      if (errnoOf(error) === "EADDRINUSE") throw error;
    });
  }

  async #refresh(): Promise<void> {
    if (this.#closed) return;
    const now = this.#addresses();
    // A host that does not tell any more has them all the same.
    if (now.length === 0) return;
    for (const [address, socket] of this.#sockets) {
      if (address === this.#hostIp || now.includes(address)) continue;
      this.#sockets.delete(address);
      socket.close();
    }
    await this.#openAll(now, () => undefined);
  }

  #addresses(): readonly string[] {
    const family: Family = this.#hostIp === "::" ? 6 : 4;
    return this.#network.addresses(family);
  }

  async #openAll(addresses: readonly string[], onError: (error: unknown) => void): Promise<void> {
    for (const address of addresses) {
      if (!this.#sockets.has(address)) await this.#open(address, this.#port, CAN_SHARE).catch(onError);
    }
  }

  async #open(address: string, port: number, shared: boolean): Promise<void> {
    const socket = createSocket(optionsFor(address, shared));
    const door: Door = {
      address,
      answer: (datagram, client) => {
        if (this.#sockets.get(address) === socket) socket.send(datagram, client.port, client.address);
      },
    };
    socket.on("message", (datagram, client) => this.#onDatagram(datagram, client, door));
    await bound(socket, address, port);
    this.#port = socket.address().port;
    this.#sockets.set(address, socket);
  }

  async #closeAll(): Promise<void> {
    const sockets = [...this.#sockets.values()];
    this.#sockets.clear();
    await Promise.all(sockets.map((socket) => new Promise<void>((resolve) => socket.close(resolve))));
  }
}

/** ipv6Only: "::" must not take the IPv4 port of another mapping with it. */
function optionsFor(address: string, shared: boolean): SocketOptions {
  const family: SocketOptions = address.includes(":") ? { type: "udp6", ipv6Only: true } : { type: "udp4" };
  // Shared among one user's sockets only (SO_REUSEPORT); SO_REUSEADDR would let a neighbour take a part.
  const withOthers: SocketOptions & { reusePort: boolean } = { ...family, reusePort: shared };
  return withOthers;
}

function bound(socket: Socket, address: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: Error) => {
      socket.close();
      reject(error);
    };
    socket.once("error", onError);
    // exclusive: no sharing of the handle through node:cluster.
    socket.bind({ address, port, exclusive: true }, () => {
      socket.removeListener("error", onError);
      // ICMP errors of one client are nobody else's trouble.
      socket.on("error", () => undefined);
      resolve();
    });
  });
}
