// A UDP port of the host, forwarded: one flow per client and address that it asks, each with a dial of its own, bounded in
// number, dropped when idle. Datagrams that don't fit are lost, as UDP may: nothing is queued without bound.

import type { RemoteInfo } from "node:dgram";
import type { Duplex } from "node:stream";
import type { PortMapping } from "../base/ports.js";
import { dialWithin } from "./dial-within.js";
import { hostNetwork, type LocalNetwork } from "./local-addresses.js";
import type { PublishedPort, PublishLimits } from "./types.js";
import { type Door, UdpSockets } from "./udp-sockets.js";

/** Datagrams of a client that wait for its dial. */
const MAX_WAITING = 32;

interface Flow {
  readonly client: RemoteInfo;
  /** Where its last datagram came in: the address may have gone and come back. */
  door: Door;
  readonly waiting: Buffer[];
  readonly abort: AbortController;
  guest: Duplex | undefined;
  lastUsed: number;
}

/** @throws Node's own error where the address cannot be bound */
export async function publishUdp(
  mapping: PortMapping,
  dial: (signal: AbortSignal) => Promise<Duplex>,
  limits: PublishLimits,
  network: LocalNetwork = hostNetwork,
): Promise<PublishedPort> {
  const listener = new UdpListener(mapping, dial, limits, network);
  await listener.bind();
  return listener;
}

class UdpListener implements PublishedPort {
  readonly #sockets: UdpSockets;
  readonly #dial: (signal: AbortSignal) => Promise<Duplex>;
  readonly #limits: PublishLimits;
  /** By client; the order is that of use, the idlest first. */
  readonly #flows = new Map<string, Flow>();
  #mapping: PortMapping;
  #sweep: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;

  constructor(
    mapping: PortMapping,
    dial: (signal: AbortSignal) => Promise<Duplex>,
    limits: PublishLimits,
    network: LocalNetwork,
  ) {
    this.#mapping = mapping;
    this.#dial = dial;
    this.#limits = limits;
    this.#sockets = new UdpSockets(mapping.hostIp, network, (datagram, client, door) =>
      this.#receive(datagram, client, door),
    );
  }

  get mapping(): PortMapping {
    return this.#mapping;
  }

  get active(): number {
    return this.#flows.size;
  }

  async bind(): Promise<void> {
    const hostPort = await this.#sockets.bind(this.#mapping.hostPort);
    this.#mapping = { ...this.#mapping, hostPort };
    this.#sweep = setInterval(() => this.#expire(), Math.max(10, this.#limits.flowIdleMs / 4));
    this.#sweep.unref();
  }

  close(): Promise<void> {
    clearInterval(this.#sweep);
    for (const [key, flow] of this.#flows) this.#end(key, flow);
    this.#closing ??= this.#sockets.close();
    return this.#closing;
  }

  #receive(datagram: Buffer, client: RemoteInfo, door: Door): void {
    if (this.#closing !== undefined) return;
    const key = `${door.address} ${client.address} ${client.port}`;
    const flow = this.#flows.get(key) ?? this.#begin(key, client, door);
    flow.door = door;
    this.#use(key, flow);
    if (flow.guest === undefined) {
      if (flow.waiting.length < MAX_WAITING) flow.waiting.push(datagram);
    } else if (!flow.guest.writableNeedDrain) {
      flow.guest.write(datagram);
    }
  }

  #begin(key: string, client: RemoteInfo, door: Door): Flow {
    if (this.#flows.size >= this.#limits.maxFlows) {
      for (const [idlest, flow] of this.#flows) {
        this.#end(idlest, flow);
        break;
      }
    }
    const flow: Flow = {
      client,
      door,
      waiting: [],
      abort: new AbortController(),
      guest: undefined,
      lastUsed: Date.now(),
    };
    this.#flows.set(key, flow);
    void this.#connect(key, flow);
    return flow;
  }

  async #connect(key: string, flow: Flow): Promise<void> {
    let guest: Duplex;
    try {
      guest = await dialWithin(this.#limits.dialTimeoutMs, flow.abort, this.#dial);
    } catch {
      this.#end(key, flow);
      return;
    }
    guest.on("error", () => this.#end(key, flow));
    guest.once("close", () => this.#end(key, flow));
    if (flow.abort.signal.aborted) {
      guest.destroy();
      return;
    }
    flow.guest = guest;
    guest.on("data", (datagram: Buffer) => {
      this.#use(key, flow);
      if (!flow.abort.signal.aborted) flow.door.answer(datagram, flow.client);
    });
    for (const datagram of flow.waiting.splice(0)) guest.write(datagram);
  }

  #use(key: string, flow: Flow): void {
    flow.lastUsed = Date.now();
    if (this.#flows.get(key) !== flow) return;
    this.#flows.delete(key);
    this.#flows.set(key, flow);
  }

  #expire(): void {
    const oldest = Date.now() - this.#limits.flowIdleMs;
    for (const [key, flow] of this.#flows) {
      if (flow.lastUsed > oldest) return;
      this.#end(key, flow);
    }
  }

  #end(key: string, flow: Flow): void {
    if (this.#flows.get(key) === flow) this.#flows.delete(key);
    flow.abort.abort();
    flow.guest?.destroy();
  }
}
