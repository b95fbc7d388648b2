import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { afterEach, describe, it } from "node:test";
import { hasReason, KilnError } from "../base/errors.js";
import type { PortMapping } from "../base/ports.js";
import { deferred } from "../base/runtime.js";
import { publishPort } from "./publish.js";
import type { GuestDial, PublishedPort } from "./types.js";

const TCP: PortMapping = { hostIp: "127.0.0.1", hostPort: 0, vmPort: 80, protocol: "tcp" };
const UDP: PortMapping = { ...TCP, protocol: "udp" };
const MIB = 1024 * 1024;
/** Far beyond what the slowest machine takes: it ends what would never end. */
const PATIENCE_MS = 60_000;

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

  /** A server that stands for the guest's, and the dial that reaches it. */
  async function guest(serve: (socket: Socket) => void): Promise<GuestDial> {
    const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => undefined);
      closing.push(() => socket.destroy());
      serve(socket);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    closing.push(() => new Promise((resolve) => server.close(resolve)));
    const { port } = server.address() as { port: number };
    return async () => {
      const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
      await once(socket, "connect");
      return socket;
    };
  }

  function client(port: PublishedPort): Socket {
    const { hostPort, hostIp } = port.mapping;
    const socket = connect({ port: hostPort, host: hostIp, allowHalfOpen: true });
    socket.on("error", () => undefined);
    closing.push(() => socket.destroy());
    return socket;
  }

  /** All that a peer says, without ending what we say (as consumers of node:stream would). */
  async function said(socket: Socket): Promise<string> {
    let words = "";
    socket.on("data", (chunk: Buffer) => {
      words += chunk.toString("utf8");
    });
    await once(socket, "end");
    return words;
  }

  async function idle(port: PublishedPort, active = 0): Promise<void> {
    while (port.active > active) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Resolves with "end" or the error's code. */
  function fate(socket: Socket): Promise<string> {
    return new Promise((resolve) => {
      socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? ""));
      socket.once("end", () => resolve("end"));
      socket.resume();
    });
  }

  it("chooses a free port for 0 and tells it", async () => {
    const port = await publish(TCP, await guest((socket) => socket.end("hello")));
    assert.ok(port.mapping.hostPort > 0);
    assert.equal(await text(client(port)), "hello");
  });

  it("tells the guest's port to the dial", async () => {
    const asked: unknown[] = [];
    const dial = await guest((socket) => socket.end());
    const port = await publish(TCP, (protocol, vmPort, options) => {
      asked.push([protocol, vmPort]);
      return dial(protocol, vmPort, options);
    });
    await text(client(port));
    assert.deepEqual(asked, [["tcp", 80]]);
  });

  it("half-closes: an answer arrives after the client has said all", async () => {
    const dial = await guest((socket) => void said(socket).then((words) => socket.end(`heard ${words}`)));
    const socket = client(await publish(TCP, dial));
    socket.end("everything");
    assert.equal(await text(socket), "heard everything");
  });

  it("half-closes the other way: the guest hears what the client says after the guest's end", async () => {
    const heard = deferred<string>();
    const dial = await guest((socket) => {
      socket.end("bye");
      void said(socket).then(heard.resolve);
    });
    const socket = client(await publish(TCP, dial));
    assert.equal(await said(socket), "bye");
    socket.end("one more thing");
    assert.equal(await heard.promise, "one more thing");
  });

  it("carries large data both ways unchanged", async () => {
    const port = await publish(TCP, await guest((socket) => socket.pipe(socket)));
    const data = randomBytes(8 * MIB);
    const socket = client(port);
    socket.end(data);
    const echoed = createHash("sha256")
      .update(await buffer(socket))
      .digest("hex");
    assert.equal(echoed, createHash("sha256").update(data).digest("hex"));
  });

  it("reads from the guest no faster than the client does", async () => {
    let given = 0;
    const endless = () =>
      new Duplex({
        read() {
          given += 65536;
          this.push(Buffer.alloc(65536));
        },
        write: (_chunk, _encoding, done) => done(),
      });
    const port = await publish(TCP, async () => endless());
    const socket = client(port);
    socket.pause();
    let before = -1;
    while (before !== given) {
      before = given;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.ok(given < 64 * MIB, `${given} bytes taken for a client that reads none`);
    socket.destroy();
  });

  it("resets the client where the guest cannot be dialled", async () => {
    const port = await publish(TCP, async () => {
      throw new Error("no agent");
    });
    assert.equal(await fate(client(port)), "ECONNRESET");
    await idle(port);
  });

  it("resets the client where the guest does not answer in time", async () => {
    const dial: GuestDial = (_protocol, _port, { signal }) =>
      new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
    const port = await publish(TCP, dial, { dialTimeoutMs: 20 });
    assert.equal(await fate(client(port)), "ECONNRESET");
  });

  it("resets the client when the guest's stream fails in the middle", async () => {
    const port = await publish(
      TCP,
      await guest((socket) => socket.write("half", () => socket.resetAndDestroy())),
    );
    assert.equal(await fate(client(port)), "ECONNRESET");
  });

  it("gives up the dial of a client that has gone", async () => {
    const gone = deferred<void>();
    const dialled = deferred<void>();
    const port = await publish(TCP, (_protocol, _port, { signal }) => {
      dialled.resolve();
      return new Promise((_, reject) =>
        signal?.addEventListener("abort", () => {
          gone.resolve();
          reject(signal.reason);
        }),
      );
    });
    const socket = client(port);
    await dialled.promise;
    socket.resetAndDestroy();
    // A paused socket hears of a reset only when it writes or reads; closing the port ends the dial in any case.
    await port.close();
    await gone.promise;
    assert.equal(port.active, 0);
  });

  it("resets connections past the limit and takes new ones when there is room", async () => {
    const port = await publish(TCP, await guest((socket) => socket.pipe(socket)), { maxConnections: 2 });
    const [first, second] = [client(port), client(port)];
    for (const socket of [first, second]) {
      socket.write("x");
      await once(socket, "data");
    }
    assert.equal(await fate(client(port)), "ECONNRESET");
    first.end();
    await text(first);
    await idle(port, 1);
    const third = client(port);
    third.write("y");
    assert.equal(String((await once(third, "data"))[0]), "y");
  });

  it("takes room from clients that have said all and hear nothing, and from no other", async (t) => {
    t.mock.timers.enable({ apis: ["Date"], now: 0 });
    const guests: Socket[] = [];
    const ends: Promise<unknown>[] = [];
    const dial = await guest((socket) => {
      guests.push(socket);
      ends.push(once(socket, "end"));
      socket.resume().write("x");
    });
    const port = await publish(TCP, dial, { maxConnections: 2 });
    const open = async () => {
      const socket = client(port);
      assert.equal(String((await once(socket, "data"))[0]), "x");
      return socket;
    };
    /** One that has said all, as the guest has heard. */
    const halfClosed = async () => {
      const socket = await open();
      socket.end();
      await ends.at(-1);
      return socket;
    };
    const [first, second] = [await halfClosed(), await halfClosed()];
    t.mock.timers.tick(9_000);
    assert.equal(
      await fate(client(port)),
      "ECONNRESET",
      "a client that waits for its answer keeps its place",
    );
    guests[0]?.write("y");
    assert.equal(String((await once(first, "data"))[0]), "y");
    t.mock.timers.tick(2_000);
    const gone = fate(second);
    const third = await open();
    assert.equal(await gone, "ECONNRESET", "the one to which nothing moves goes");
    t.mock.timers.tick(100_000);
    const quiet = fate(first);
    const fourth = await open();
    assert.equal(await quiet, "ECONNRESET");
    t.mock.timers.tick(100_000);
    assert.equal(await fate(client(port)), "ECONNRESET", "who may still speak keeps its place");
    assert.deepEqual([third.destroyed, fourth.destroyed, port.active], [false, false, 2]);
  });

  it("names the address where the port is in use", async () => {
    for (const mapping of [TCP, UDP]) {
      const first = await publish(mapping, await guest((socket) => socket.end()));
      const { hostPort } = first.mapping;
      await assert.rejects(
        publishPort({ ...mapping, hostPort }, async () => new Duplex()),
        (error) =>
          hasReason(error, "port-in-use") && (error as KilnError).message.includes(`127.0.0.1:${hostPort}`),
      );
    }
  });

  it("refuses an address that is not this host's", async () => {
    for (const mapping of [TCP, UDP]) {
      await assert.rejects(
        publishPort({ ...mapping, hostIp: "203.0.113.77" }, async () => new Duplex()),
        (error) => hasReason(error, "address-not-here"),
      );
    }
  });

  it("closes with all its connections, and the port is free again", async () => {
    // An address where nobody else connects, whose own port might be this one as soon as it is free.
    const own = { ...TCP, hostIp: "127.0.0.78" };
    const port = await publish(own, await guest((socket) => socket.pipe(socket)));
    const socket = client(port);
    socket.write("x");
    await once(socket, "data");
    const ended = fate(socket);
    await port.close();
    await ended;
    await port.close();
    const again = await publish({ ...port.mapping }, await guest((other) => other.end()));
    assert.equal(again.mapping.hostPort, port.mapping.hostPort);
  });

  it("keeps no file open after many connections", async () => {
    const port = await publish(TCP, await guest((socket) => socket.pipe(socket)));
    const turn = async () => {
      const socket = client(port);
      socket.end("x");
      await text(socket);
    };
    await turn();
    await idle(port);
    const open = async () => (await readdir("/proc/self/fd")).length;
    const before = await open();
    for (let count = 0; count < 50; count++) await turn();
    await idle(port);
    // Both ends of the last connections close some turns of the loop after the port has let go of them.
    const end = performance.now() + PATIENCE_MS;
    let now = await open();
    for (; now > before && performance.now() < end; now = await open())
      await new Promise((resolve) => setImmediate(resolve));
    assert.ok(now <= before, `${now} files are open, ${before} were before`);
  });

  it("wraps what it cannot name", async () => {
    await assert.rejects(
      publishPort({ ...TCP, hostIp: "no address" }, async () => new Duplex()),
      (error) => error instanceof KilnError && error.message.startsWith("publish tcp port no address:0"),
    );
  });
});
