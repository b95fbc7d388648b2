import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http2";
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from "node:net";
import { describe, it } from "node:test";
import { collectGarbage } from "../../test/fixtures/collect-garbage.js";
import {
  EMPTY_DATA,
  EMPTY_FRAMES,
  flood,
  frame,
  PADDING,
  REFUSED_ANYWAY,
  SETTINGS,
} from "../../test/fixtures/empty-frames.js";
import { SingleSession } from "./http2-session.js";

/** With a session and the raw socket of its agent. */
async function withAgent(body: (session: SingleSession, agent: Socket) => Promise<void>): Promise<void> {
  const server = createTcpServer().listen(0, "127.0.0.1");
  try {
    await once(server, "listening");
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
    const [agent] = (await once(server, "connection")) as [Socket];
    await body(new SingleSession(socket), agent);
  } finally {
    server.close();
  }
}

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

  it("says to a call that comes too late how it ended, as to one that was open", () =>
    withAgent(async (session, agent) => {
      const call = await session.request("POST", "/x", {});
      const failure = once(call, "error");
      agent.write("noise in place of HTTP/2, ".repeat(10));
      const [{ message }] = (await failure) as [Error];
      const why = await session.closed;
      assert.ok(message.includes(why), `${message} has not ${why}`);
      await assert.rejects(session.request("POST", "/x", {}), (error: Error) => error.message.includes(why));
      assert.match(why, /Protocol error/);
    }));

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

describe("SingleSession with an agent that sends frames without end", () => {
  const answer = frame(1, Buffer.from([0x88]), 4, 1);
  const kinds: Record<string, readonly [Buffer, Buffer]> = {
    ...EMPTY_FRAMES,
    "data without a byte": [answer, EMPTY_DATA],
    "data that is all padding": [answer, PADDING],
    "data of a call that is over": [
      Buffer.concat([answer, frame(0, Buffer.alloc(0), 1, 1)]),
      frame(0, Buffer.from("x"), 0, 1),
    ],
    "answers that are none yet": [Buffer.alloc(0), frame(1, Buffer.from([0x08, 3, 0x31, 0x30, 0x33]), 4, 1)],
  };
  for (const [kind, [opening, repeated]] of Object.entries(kinds)) {
    it(`ends, and says that they are a breach: ${kind}`, () =>
      withAgent(async (session, agent) => {
        const call = await session.request("POST", "/x", {});
        call.on("error", () => undefined);
        agent.write(Buffer.concat([SETTINGS, opening]));
        assert.equal(await flood(agent, repeated, 64 * 1024 ** 2), true, "the session goes on");
        const why = await session.closed;
        if (!REFUSED_ANYWAY.has(kind))
          assert.match(why, /broke HTTP\/2 \(it sent far more HTTP\/2 frames than/);
        assert.equal(session.violated, true);
      }));
  }
});
