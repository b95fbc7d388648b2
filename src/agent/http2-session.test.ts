import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http2";
import { type AddressInfo, connect } from "node:net";
import { describe, it } from "node:test";
import { collectGarbage } from "../../test/fixtures/collect-garbage.js";
import { SingleSession } from "./http2-session.js";

describe("SingleSession", () => {
  it("may be closed before its connection is announced", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    try {
      await once(server, "listening");
      const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
      await once(socket, "connect");
      const session = new SingleSession(socket);
      await session.close();
      await assert.rejects(session.request("POST", "/x", {}), /has ended/);
      assert.equal(typeof (await session.closed), "string");
    } finally {
      server.close();
    }
  });

  it("keeps nothing of a ping that was answered", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    try {
      await once(server, "listening");
      const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
      await once(socket, "connect");
      const session = new SingleSession(socket);
      const heapAfter = async (pings: number) => {
        for (let i = 0; i < pings; i++) await session.ping(60_000);
        collectGarbage();
        return process.memoryUsage().heapUsed;
      };
      const before = await heapAfter(300);
      const grown = (await heapAfter(3000)) - before;
      await session.close();
      await assert.rejects(session.ping(60_000), { reason: "agent-gone" });
      assert.ok(grown < 3000 * 200, `${grown} bytes are held of 3000 pings`);
    } finally {
      server.close();
    }
  });
});
