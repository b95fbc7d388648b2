import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { Duplex } from "node:stream";
import { afterEach, describe, it } from "node:test";
import type { PortMapping } from "../base/ports.js";
import { deferred } from "../base/runtime.js";
import { publishPort } from "./publish.js";
import type { GuestDial, PublishedPort } from "./types.js";

const UDP: PortMapping = { hostIp: "127.0.0.1", hostPort: 0, vmPort: 80, protocol: "udp" };

describe("publishPort", () => {
  const closing: (() => Promise<unknown> | unknown)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });

  async function publish(...args: Parameters<typeof publishPort>): Promise<PublishedPort> {
    const port = await publishPort(...args);
    closing.push(() => port.close());
    return port;
  }

  /** A guest that answers each datagram with itself in upper case. */
  function shouter(flows: Duplex[] = []): GuestDial {
    return async () => {
      const flow = new Duplex({
        objectMode: true,
        read: () => undefined,
        write(datagram: Buffer, _encoding, done) {
          this.push(Buffer.from(datagram.toString("latin1").toUpperCase(), "latin1"));
          done();
        },
      });
      flows.push(flow);
      return flow;
    };
  }

  function udpClient(): { ask(port: PublishedPort, data: string): Promise<string> } {
    const socket = createSocket("udp4");
    closing.push(() => socket.close());
    return {
      async ask(port, data) {
        const answer = once(socket, "message");
        socket.send(data, port.mapping.hostPort, "127.0.0.1");
        return String((await answer)[0]);
      },
    };
  }

  it("carries datagrams both ways, one flow per client", async () => {
    const flows: Duplex[] = [];
    const port = await publish(UDP, shouter(flows));
    const [one, other] = [udpClient(), udpClient()];
    assert.equal(await one.ask(port, "a"), "A");
    assert.equal(await one.ask(port, "b"), "B");
    assert.equal(await other.ask(port, "c"), "C");
    assert.equal(flows.length, 2);
    assert.equal(port.active, 2);
  });

  it("keeps datagrams apart", async () => {
    const port = await publish(UDP, shouter());
    const socket = createSocket("udp4");
    closing.push(() => socket.close());
    const got: string[] = [];
    const all = deferred<void>();
    socket.on("message", (datagram) => {
      if (got.push(String(datagram)) === 3) all.resolve();
    });
    for (const data of ["one", "two", "three"]) socket.send(data, port.mapping.hostPort, "127.0.0.1");
    await all.promise;
    assert.deepEqual(got.sort(), ["ONE", "THREE", "TWO"]);
  });

  it("drops the idlest flow past the limit", async () => {
    const flows: Duplex[] = [];
    const port = await publish(UDP, shouter(flows), { maxFlows: 2 });
    const clients = [udpClient(), udpClient(), udpClient()];
    for (const one of clients.slice(0, 2)) await one.ask(port, "x");
    await clients[0]?.ask(port, "again");
    await clients[2]?.ask(port, "x");
    assert.equal(port.active, 2);
    assert.deepEqual(
      flows.map((flow) => flow.destroyed),
      [false, true, false],
    );
  });

  it("ends a flow that is idle", async () => {
    const flows: Duplex[] = [];
    const port = await publish(UDP, shouter(flows), { flowIdleMs: 40 });
    await udpClient().ask(port, "x");
    const [flow] = flows;
    assert.ok(flow !== undefined);
    // The sweep's timer alone would not keep this process up.
    const alive = setInterval(() => undefined, 1000);
    // On a busy machine it may have been idle for long enough before its answer is looked at.
    if (!flow.closed) await once(flow, "close");
    clearInterval(alive);
    assert.equal(port.active, 0);
  });

  it("ends all flows when it closes", async () => {
    const flows: Duplex[] = [];
    const port = await publish(UDP, shouter(flows));
    await udpClient().ask(port, "x");
    await port.close();
    assert.deepEqual(
      flows.map((flow) => flow.destroyed),
      [true],
    );
  });
});
