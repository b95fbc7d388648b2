import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { networkInterfaces } from "node:os";
import { Duplex } from "node:stream";
import { afterEach, describe, it } from "node:test";
import { errnoOf } from "../base/errors.js";
import type { PortMapping } from "../base/ports.js";
import { deferred } from "../base/runtime.js";
import { hostNetwork, type LocalNetwork } from "./local-addresses.js";
import { DEFAULT_LIMITS } from "./publish.js";
import type { PublishedPort } from "./types.js";
import { publishUdp } from "./udp-listener.js";

const ALL: PortMapping = { hostIp: "0.0.0.0", hostPort: 0, vmPort: 53, protocol: "udp" };

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** A guest that shouts back. */
async function shouter(): Promise<Duplex> {
  return new Duplex({
    objectMode: true,
    read: () => undefined,
    write(datagram: Buffer, _encoding, done) {
      this.push(Buffer.from(String(datagram).toUpperCase()));
      done();
    },
  });
}

/** A host with these addresses, all of them this one's loopback. */
class FakeNetwork implements LocalNetwork {
  #addresses: readonly string[];
  readonly #watchers = new Set<() => void>();

  constructor(...addresses: string[]) {
    this.#addresses = addresses;
  }

  addresses = () => this.#addresses;

  watch(onChange: () => void): () => void {
    this.#watchers.add(onChange);
    return () => this.#watchers.delete(onChange);
  }

  get watched(): number {
    return this.#watchers.size;
  }

  become(...addresses: string[]): void {
    this.#addresses = addresses;
    for (const watcher of this.#watchers) watcher();
  }
}

async function publish(network: LocalNetwork, mapping = ALL): Promise<PublishedPort> {
  const port = await publishUdp(mapping, shouter, DEFAULT_LIMITS, network);
  closing.push(() => port.close());
  return port;
}

/** A client that hears nobody but whom it asks, as most are. */
async function clientOf(address: string, port: PublishedPort): Promise<Socket> {
  const socket = createSocket("udp4");
  closing.push(() => socket.close());
  socket.on("error", () => undefined);
  socket.connect(port.mapping.hostPort, address);
  await once(socket, "connect");
  return socket;
}

/** Asks until it is answered: sockets of a new address take a moment. */
async function answered(client: Socket, words: string): Promise<string> {
  const answer = deferred<string>();
  client.on("message", (datagram) => answer.resolve(String(datagram)));
  const again = setInterval(() => client.send(words), 20);
  client.send(words);
  try {
    return await answer.promise;
  } finally {
    clearInterval(again);
  }
}

describe("a UDP port published on all addresses", { timeout: 60_000 }, () => {
  it("answers from each address that is asked", async () => {
    const port = await publish(new FakeNetwork("127.0.0.1", "127.0.0.2", "127.0.0.3"));
    for (const address of ["127.0.0.3", "127.0.0.1", "127.0.0.2"]) {
      assert.equal(await answered(await clientOf(address, port), address), address);
    }
  });

  it("keeps apart what one client asks of two addresses", async () => {
    const port = await publish(new FakeNetwork("127.0.0.1", "127.0.0.2"));
    const client = createSocket("udp4");
    closing.push(() => client.close());
    const from: string[] = [];
    const both = deferred<void>();
    client.on("message", (_, { address }) => {
      if (from.push(address) === 2) both.resolve();
    });
    for (const address of ["127.0.0.1", "127.0.0.2"]) client.send("x", port.mapping.hostPort, address);
    await both.promise;
    assert.deepEqual([from.sort(), port.active], [["127.0.0.1", "127.0.0.2"], 2]);
  });

  it("follows addresses that come, go and come back", async () => {
    const network = new FakeNetwork("127.0.0.1");
    const port = await publish(network);
    network.become("127.0.0.1", "127.0.0.2");
    const client = await clientOf("127.0.0.2", port);
    assert.equal(await answered(client, "new"), "NEW");
    network.become("127.0.0.1");
    network.become("127.0.0.1", "127.0.0.2");
    const later = await clientOf("127.0.0.2", port);
    assert.equal(await answered(later, "back"), "BACK");
    await port.close();
    assert.equal(network.watched, 0);
  });

  it("is refused where anybody has a part of it, and has all of it afterwards", async () => {
    const other = createSocket("udp4");
    closing.push(() => other.close());
    other.bind(0, "127.0.0.7");
    await once(other, "listening");
    const taken = { ...ALL, hostPort: other.address().port };
    const inUse = (error: unknown) => errnoOf(error) === "EADDRINUSE";
    await assert.rejects(publishUdp(taken, shouter, DEFAULT_LIMITS, new FakeNetwork("127.0.0.1")), inUse);
    const network = new FakeNetwork("127.0.0.1", "127.0.0.2");
    const port = await publish(network);
    const again = { ...ALL, hostPort: port.mapping.hostPort };
    await assert.rejects(publishUdp(again, shouter, DEFAULT_LIMITS, network), inUse);
    await assert.rejects(publishUdp({ ...again, hostIp: "127.0.0.2" }, shouter, DEFAULT_LIMITS), inUse);
  });

  it("serves a host that does not tell its addresses, and one address as before", async () => {
    const port = await publish(new FakeNetwork());
    assert.equal(await answered(await clientOf("127.0.0.1", port), "a"), "A");
    const one = await publish(hostNetwork, { ...ALL, hostIp: "127.0.0.4" });
    assert.equal(await answered(await clientOf("127.0.0.4", one), "b"), "B");
  });
});

it("the host's own network tells the addresses of its interfaces", () => {
  const loopback = Object.values(networkInterfaces()).flat();
  const told = [...hostNetwork.addresses(4), ...hostNetwork.addresses(6)];
  assert.equal(told.length, new Set(told).size);
  for (const entry of loopback) assert.ok(told.some((address) => address.split("%")[0] === entry?.address));
});
