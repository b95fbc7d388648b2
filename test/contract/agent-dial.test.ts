// Connections through the real agent to ports "in the guest".

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { after, before, describe, it } from "node:test";
import { hasReason } from "../../src/base/errors.js";
import type { WireSession } from "../fixtures/agent-wire.js";
import { AgentBench, skipWithoutCargo } from "./agent-bench.js";

describe("agent: dial", { skip: skipWithoutCargo(), timeout: 120_000 }, () => {
  let bench: AgentBench;
  let session: WireSession;
  before(async () => {
    bench = await AgentBench.open();
    session = await bench.session();
  });
  after(() => bench[Symbol.asyncDispose]());

  async function serve(handle: (socket: Socket) => void): Promise<{ server: Server; port: number }> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => undefined);
      handle(socket);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return { server, port: (server.address() as AddressInfo).port };
  }
  async function readAll(stream: Duplex): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for await (const piece of stream) pieces.push(piece as Buffer);
    return Buffer.concat(pieces);
  }

  it("closes each half when it is done, not before", async () => {
    const { server, port } = await serve((socket) => {
      let heard = 0;
      socket.on("data", (piece) => {
        heard += piece.length;
      });
      socket.once("end", () => socket.end(`heard ${heard}`));
    });
    const stream = await session.net.dial({ network: "tcp", port });
    stream.end(Buffer.alloc(300_000));
    assert.equal((await readAll(stream)).toString(), "heard 300000");
    server.close();
  });

  it("carries 32 MiB both ways at once unchanged", async () => {
    const { server, port } = await serve((socket) => socket.pipe(socket));
    const stream = await session.net.dial({ network: "tcp", port });
    const piece = Buffer.from(Array.from({ length: 65_536 }, (_, index) => index * 31));
    const echoed = readAll(stream);
    for (let count = 0; count < 512; count++) {
      if (!stream.write(piece)) await once(stream, "drain");
    }
    stream.end();
    const all = await echoed;
    assert.equal(all.length, 512 * piece.length);
    for (let at = 0; at < all.length; at += piece.length) {
      assert.ok(all.subarray(at, at + piece.length).equals(piece), `differs in the piece at ${at}`);
    }
    server.close();
  });

  it("lets many readers wait without stopping a call", async () => {
    const { server, port } = await serve((socket) => {
      const flood = () => {
        while (!socket.destroyed && socket.write(Buffer.alloc(65_536)));
      };
      socket.on("drain", flood);
      flood();
    });
    const streams: Duplex[] = [];
    for (let count = 0; count < 20; count++) {
      const stream = await session.net.dial({ network: "tcp", port });
      streams.push(stream);
      await once(stream, "readable");
    }
    assert.equal((await session.client.state({})).protocol, 1);
    for (const stream of streams) stream.destroy();
    server.close();
  });

  it("ends the connection in the guest with its stream", async () => {
    const closed = new Promise<void>((resolve) => {
      void serve((socket) => {
        socket.resume();
        socket.once("close", () => resolve());
        socket.once("end", () => socket.end());
      }).then(async ({ server, port }) => {
        const stream = await session.net.dial({ network: "tcp", port });
        stream.on("error", () => undefined);
        stream.destroy();
        await closed;
        server.close();
      });
    });
    await closed;
  });

  it("says that nobody listens", async () => {
    const { server, port } = await serve(() => undefined);
    server.close();
    await once(server, "close");
    await assert.rejects(session.net.dial({ network: "tcp", port }), (error) =>
      hasReason(error, "guest-port-refused"),
    );
  });

  it("keeps datagrams apart, both ways", async () => {
    const echo = createSocket("udp4", (message, from) => echo.send(`<${message}>`, from.port, from.address));
    echo.bind(0, "127.0.0.1");
    await once(echo, "listening");
    const stream = await session.net.dial({ network: "udp", port: echo.address().port });
    const answers: string[] = [];
    for (const word of ["one", "two", "three"]) {
      stream.write(Buffer.from(word));
      const [answer] = (await once(stream, "data")) as [Buffer];
      answers.push(Buffer.from(answer).toString());
    }
    assert.deepEqual(answers, ["<one>", "<two>", "<three>"]);
    stream.destroy();
    echo.close();
  });
});
