// Sessions on the real agent: hellos among garbage, one session after the other, and what dies with a session.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once, setMaxListeners } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer, type Server } from "node:net";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { openSession } from "../../src/agent/index.js";
import { hasReason } from "../../src/base/errors.js";
import { deferred } from "../../src/base/runtime.js";
import { Mode, Phase } from "../../src/gen/kiln/agent/v1/machine_pb.js";
import { openWire } from "../fixtures/agent-wire.js";
import { duplexPair } from "../fixtures/duplex-pair.js";
import { AgentBench, ENV, run, runs, skipWithoutRoot, until } from "./agent-bench.js";

/** Of the streams that an agent serves; kept by the session (src/agent/stream-budget.ts). */
const MOST_EXECS = 384;

describe("agent: sessions", { skip: skipWithoutRoot(), timeout: 120_000 }, () => {
  let bench: AgentBench;
  beforeEach(async () => {
    bench = await AgentBench.open();
  });
  afterEach(() => bench[Symbol.asyncDispose]());

  it("says what it is, and that it waits", async () => {
    const session = await bench.session();
    const state = await session.client.state({});
    assert.equal(state.protocol, 1);
    assert.equal(state.phase, Phase.WAITING);
    assert.match(state.bootId, /^[0-9a-f-]{36}$/);
  });

  it("is heard behind garbage of every kind", async () => {
    const junk = [
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      Buffer.alloc(100_000, 0xff),
      Buffer.from("\xff\xff\xff\xfeKIL", "latin1"),
    ];
    for (const bytes of junk) {
      const dial = async () => {
        const socket = await bench.dial();
        socket.write(bytes);
        return socket;
      };
      const session = await openWire(dial, { helloTimeoutMs: 20_000 });
      assert.equal((await session.client.state({})).protocol, 1);
      await session.close();
    }
  });

  it("serves the next host after one that vanished in the middle of a frame", async () => {
    const socket = await bench.dial();
    const session = await openWire(async () => socket, { helloTimeoutMs: 20_000 });
    await session.client.state({});
    socket.write(Buffer.from([0, 0x40, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3]));
    socket.destroy();
    await session.closed;
    assert.equal((await (await bench.session()).client.state({})).protocol, 1);
  });

  it("notices that the guest's bytes are no HTTP/2 any more, and is spoken to again", async () => {
    const kinds: Record<string, Buffer> = {
      zeros: Buffer.alloc(4096),
      ones: Buffer.alloc(4096, 0xff),
      text: Buffer.from("Segmentation fault (core dumped)\n".repeat(20)),
      "part of a header": Buffer.from([0, 0, 5, 4]),
      "settings that are cut off": Buffer.from([0, 0, 7, 4, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7]),
      "headers that can't be read": Buffer.concat([
        Buffer.from([0, 0, 50, 1, 4, 0, 0, 0, 1]),
        Buffer.alloc(50, 0xff),
      ]),
      "a window that does not grow": Buffer.from([0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    };
    for (const [kind, bytes] of Object.entries(kinds)) {
      // Between the agent and us: the agent itself never breaks off, as on a serial port.
      const agent = await bench.dial();
      const [ours, theirs] = duplexPair();
      agent.on("data", (chunk: Buffer) => theirs.write(chunk));
      theirs.on("data", (chunk: Buffer) => agent.write(chunk));
      const session = await openWire(async () => ours, { helloTimeoutMs: 20_000 });
      assert.equal((await session.client.state({})).protocol, 1);
      const waiting = assert.rejects(session.client.wait({}));
      theirs.write(bytes);
      await session.closed;
      assert.equal(session.violated, true, kind);
      await waiting;
      agent.destroy();
      const next = await bench.session();
      assert.equal((await next.client.state({})).protocol, 1);
      assert.equal(next.violated, false);
      await next.close();
    }
  });

  it("holds a boot until its files are there, for whoever is the host then", async () => {
    const first = await bench.session();
    const from = join(bench.root, "held");
    const cat = { args: ["sh", "-c", `cat ${from}/file`], env: ["PATH=/usr/bin:/bin"] };
    const early = first.client.startProgram({});
    await assert.rejects(early, /no boot waits/);
    const answer = await first.client.boot({ mode: Mode.APP, process: cat, hold: true });
    assert.deepEqual([answer.held, answer.pid], [true, 0]);
    assert.equal((await first.client.state({})).phase, Phase.HELD);
    await first.close();
    const next = await bench.session();
    assert.equal((await next.client.state({})).phase, Phase.HELD, "a host that went took nothing with it");
    await mkdir(from);
    await writeFile(join(bench.root, "file"), "");
    const tar = execFileSync("tar", ["-cf", "-", "-C", bench.root, "file"]);
    await next.client.writeArchive(
      (async function* () {
        yield { message: { case: "start" as const, value: { directory: from } } };
        yield { message: { case: "data" as const, value: tar } };
      })(),
    );
    await next.client.sync({});
    const started = await next.client.startProgram({});
    assert.equal(started.held, false);
    assert.ok(started.pid > 0);
    assert.equal((await next.client.wait({})).exit?.code, 0);
    await assert.rejects(next.client.startProgram({}), /no boot waits/);
  });

  it("kills the execs of a session that has ended", async () => {
    const session = await bench.session();
    const started = deferred<number>();
    const running = run(session, ["sh", "-c", "echo $$; exec sleep 300"], {
      onOutput: (text) => started.resolve(Number(text)),
    });
    const pid = await started.promise;
    const failed = assert.rejects(running, /session with the guest's agent has ended/);
    await session.close();
    await failed;
    await until(() => !runs(pid));
  });

  it("fails the calls of a session that has ended, and tells why", async () => {
    const session = await bench.session();
    const gone = (error: unknown) => error instanceof ConnectError && error.code === Code.Unavailable;
    const waiting = assert.rejects(session.client.wait({}), gone);
    const streaming = assert.rejects(run(session, ["sleep", "300"]), gone);
    bench.process.kill("SIGKILL");
    await streaming;
    await waiting;
    assert.equal(typeof (await session.closed), "string");
    await assert.rejects(session.client.state({}), gone);
    await assert.rejects(session.ping(1000), (error) => hasReason(error, "agent-gone"));
  });

  it("answers a ping, and a stopped agent answers none", async () => {
    const session = await bench.session();
    assert.ok((await session.ping(10_000)) >= 0);
    bench.process.kill("SIGSTOP");
    await assert.rejects(session.ping(100), (error) => hasReason(error, "agent-silent"));
    bench.process.kill("SIGCONT");
    assert.ok((await session.ping(10_000)) >= 0, "silence does not end a session");
  });

  it("keeps a caller's deadline", async () => {
    const session = await bench.session();
    await assert.rejects(session.client.wait({}, { timeoutMs: 50 }), /deadline/);
    assert.equal((await session.client.state({})).protocol, 1);
  });

  it("answers and starts programs while connections take all that they may, beside 60 execs", async () => {
    const server = createServer(() => undefined).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const session = await bench.session();
    // From here on it is known how many the agent serves.
    await session.client.state({});
    const dials = Array.from({ length: 700 }, () => session.net.dial({ network: "tcp", port }));
    const streams = await Promise.all(dials);
    const over = new AbortController();
    const execs = Array.from({ length: 60 }, () => run(session, ["sleep", "300"], { signal: over.signal }));
    const cut = Promise.all(execs.map((exec) => assert.rejects(exec)));
    assert.equal((await session.client.state({}, { timeoutMs: 20_000 })).protocol, 1);
    assert.equal((await run(session, ["echo", "heard"])).stdout, "heard\n");
    over.abort();
    await cut;
    for (const stream of streams) stream.destroy();
    assert.equal((await run(session, ["echo", "again"])).stdout, "again\n");
    server.close();
  });

  it("answers, and stops its program, while execs take all that they may", async () => {
    const session = await bench.session();
    await session.client.state({});
    const args = ["sh", "-c", "trap 'exit 5' TERM; read never"];
    await session.client.boot({ mode: Mode.APP, process: { args, env: ENV, stdin: true } });
    const over = new AbortController();
    setMaxListeners(0, over.signal);
    const all = deferred<void>();
    let up = 0;
    const onOutput = (): void => {
      if (++up === MOST_EXECS) all.resolve();
    };
    const script = ["sh", "-c", "echo up; exec sleep 300"];
    // As many again may wait for a place.
    const execs = Array.from({ length: 2 * MOST_EXECS }, () =>
      run(session, script, { signal: over.signal, onOutput }),
    );
    const cut = Promise.all(execs.map((exec) => assert.rejects(exec, /aborted/)));
    await all.promise;
    await assert.rejects(run(session, ["true"]), ({ cause }) => hasReason(cause, "too-many-execs"));
    const { protocol, exit } = await session.client.state({}, { timeoutMs: 20_000 });
    assert.deepEqual([protocol, exit], [1, undefined]);
    assert.equal(up, MOST_EXECS, "those that wait for a place have not started");
    await session.client.stop({ signal: 15, timeoutMs: 60_000 }, { timeoutMs: 20_000 });
    const end = await session.client.wait({}, { timeoutMs: 20_000 });
    assert.deepEqual([end.exit?.code, end.exit?.signal], [5, 0]);
    over.abort();
    // Not one of them has ended by itself, nor been refused for too many look-ups of paths.
    await cut;
  });

  it("knows no calls but its own", async () => {
    const session = await bench.session();
    const fetched = session.client as unknown as { state(request: object): Promise<unknown> };
    assert.ok(await fetched.state({}));
    await assert.rejects(session.client.resize({ window: { columns: 1, rows: 1 } }), /no program runs/);
    await assert.rejects(session.client.signal({ signal: 15 }), /no program runs/);
    await assert.rejects(session.client.ackExit({}), /has not ended/);
    await assert.rejects(session.client.configureNetwork({}), /not the agent's/);
  });
});

describe("agent: hosts that meet no agent", () => {
  let server: Server;
  let path: string;
  let behave: (socket: import("node:net").Socket) => void;
  let bench: { root: string; remove(): Promise<void> };
  before(async () => {
    const { mkdtemp, rm } = await import("node:fs/promises");
    const { tmpdir } = await import("node:os");
    const root = await mkdtemp(join(tmpdir(), "ka-"));
    bench = { root, remove: () => rm(root, { recursive: true, force: true }) };
    path = join(root, "s");
    server = createServer((socket) => {
      socket.on("error", () => undefined);
      behave(socket);
    });
    server.listen(path);
    await once(server, "listening");
  });
  after(async () => {
    server.close();
    await bench.remove();
  });
  const dial = async () => {
    const { connect } = await import("node:net");
    const socket = connect(path);
    await once(socket, "connect");
    return socket;
  };

  it("give up on silence", async () => {
    behave = () => undefined;
    const opened = openSession(dial, { helloTimeoutMs: 100 });
    await assert.rejects(opened, (error) => hasReason(error, "no-hello"));
  });

  it("give up on a flood", async () => {
    behave = (socket) => {
      const flood = () => {
        while (!socket.destroyed && socket.write(Buffer.alloc(1 << 20, 0xff)));
      };
      socket.on("drain", flood);
      flood();
    };
    const opened = openSession(dial, { helloTimeoutMs: 60_000 });
    await assert.rejects(opened, (error) => hasReason(error, "channel-garbage"));
  });

  it("take a mere echo of their own hello for none", async () => {
    behave = (socket) => socket.pipe(socket);
    const opened = openSession(dial, { helloTimeoutMs: 100 });
    await assert.rejects(opened, (error) => hasReason(error, "no-hello"));
  });
});
