import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer as createHttp2Server, type ServerHttp2Stream } from "node:http2";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { FakeKilnd } from "../../test/fixtures/fake-kilnd.js";
import { Code, hasReason, KilnError } from "../base/errors.js";
import { dial } from "./host.js";
import { Transport } from "./transport.js";

let kilnd: FakeKilnd;
let transport: Transport;

before(async () => {
  kilnd = await FakeKilnd.start();
  kilnd.add("web");
  transport = new Transport(() => dial(kilnd.socket));
});

after(async () => {
  await transport.close();
  await kilnd.close();
});

describe("unary call", () => {
  it("gives the JSON of the answer", async () => {
    const { vm } = await transport.unary("VmService/GetVm", { vm: "web" });
    assert.equal(vm?.name, "web");
    assert.equal(vm?.status?.state, "VM_STATE_RUNNING");
  });

  it("gives kilnd's refusal with reason, hint and details", async () => {
    await assert.rejects(transport.unary("VmService/GetVm", { vm: "nobody" }), (error) => {
      assert.ok(error instanceof KilnError);
      assert.equal(error.code, Code.NotFound);
      assert.equal(error.reason, "vm-not-found");
      assert.equal(error.hint, "list them with `kiln ps -a`");
      assert.equal(error.details.object, "web");
      return true;
    });
  });

  it("says timeout when the deadline passes", async () => {
    const waiting = transport.unary("VmService/WaitVm", { vm: "web" }, { timeoutMs: 50 });
    await assert.rejects(waiting, (error) => hasReason(error, "timeout"));
  });

  it("says cancelled when its signal is aborted, and goes on serving", async () => {
    const controller = new AbortController();
    const waiting = transport.unary("VmService/WaitVm", { vm: "web" }, { signal: controller.signal });
    controller.abort();
    await assert.rejects(waiting, (error) => error instanceof KilnError && error.code === Code.Cancelled);
    const { vm } = await transport.unary("VmService/GetVm", { vm: "web" });
    assert.equal(vm?.name, "web");
  });

  it("is not sent at all with a signal that is aborted already", async () => {
    const calls = kilnd.calls.length;
    const call = transport.unary("VmService/GetVm", { vm: "web" }, { signal: AbortSignal.abort() });
    await assert.rejects(call, (error) => error instanceof KilnError && error.code === Code.Cancelled);
    assert.equal(kilnd.calls.length, calls);
  });

  it("says that the connection was lost, and the next call connects anew", async () => {
    const waiting = transport.unary("VmService/WaitVm", { vm: "web" });
    const called = kilnd.calls.length;
    while (kilnd.calls.length === called) await new Promise((resolve) => setImmediate(resolve));
    kilnd.cutConnections();
    await assert.rejects(waiting, (error) => hasReason(error, "connection-lost"));
    const { vm } = await transport.unary("VmService/GetVm", { vm: "web" });
    assert.equal(vm?.name, "web");
  });

  it("carries many calls at once on one connection", async () => {
    const calls = Array.from({ length: 200 }, () => transport.unary("VmService/GetVm", { vm: "web" }));
    assert.equal((await Promise.all(calls)).length, 200);
  });
});

describe("stream", () => {
  it("gives messages in order and ends", async () => {
    const logs: string[] = [];
    for await (const { data } of transport.serverStream("VmService/Logs", { vm: "web" })) {
      logs.push(Buffer.from(data ?? "", "base64").toString());
    }
    assert.deepEqual(logs, ["one\ntw", "error\n", "o\n"]);
  });

  it("throws the refusal that came in its end", async () => {
    const reading = transport.serverStream("VmService/Logs", { vm: "nobody" }).next();
    await assert.rejects(reading, (error) => hasReason(error, "vm-not-found"));
  });

  it("is cancelled at kilnd when the reader leaves", async () => {
    for await (const { event } of transport.serverStream("SystemService/Events", {})) {
      if (event?.cursor === "1") break;
    }
    const { vm } = await transport.unary("VmService/GetVm", { vm: "web" });
    assert.equal(vm?.name, "web");
  });

  it("says timeout when the deadline passes between messages", async () => {
    const stream = transport.serverStream("VmService/Logs", { vm: "web", follow: true }, { timeoutMs: 100 });
    const drain = async () => {
      for await (const _ of stream);
    };
    await assert.rejects(drain, (error) => hasReason(error, "timeout"));
  });

  it("says that the connection was lost when kilnd dies in the middle", async () => {
    const stream = transport.serverStream("VmService/Logs", { vm: "web", follow: true });
    await stream.next();
    kilnd.cutConnections();
    const drain = async () => {
      for await (const _ of stream);
    };
    await assert.rejects(drain, (error) => hasReason(error, "connection-lost"));
  });
});

describe("keeping the process alive", () => {
  it("is each connection's own affair, also while one that goes away still answers", async () => {
    const requests: ServerHttp2Stream[] = [];
    const asked = new EventEmitter();
    const server = createHttp2Server();
    server.on("stream", (stream) => asked.emit("stream", requests.push(stream)));
    const { socketPath, close } = await listen(server as unknown as Server);
    const alive: boolean[] = [];
    const other = new Transport(async () => {
      const socket = await dial(socketPath);
      const index = alive.push(false) - 1;
      socket.ref = () => {
        alive[index] = true;
        return socket;
      };
      socket.unref = () => {
        alive[index] = false;
        return socket;
      };
      return socket;
    });
    const answer = (index: number) => {
      requests[index]?.respond({ ":status": 200, "content-type": "application/json" });
      requests[index]?.end("{}");
    };
    const call = async () => {
      const sent = once(asked, "stream");
      const answered = other.unary("SystemService/Version", {});
      await sent;
      return { answered };
    };
    const first = await call();
    const session = requests[0]?.session;
    session?.goaway(0);
    await new Promise((resolve) => session?.ping(resolve)); // answered behind the word
    const second = await call();
    assert.deepEqual(alive, [true, true]);
    answer(0);
    await first.answered;
    assert.equal(alive[1], true, "its own call is under way still");
    answer(1);
    await second.answered;
    await turn(() => alive.includes(true));
    await other.close();
    await close();
  });
});

/** Lets the event loop run while this holds. */
async function turn(holds: () => boolean): Promise<void> {
  while (holds()) await new Promise((resolve) => setImmediate(resolve));
}

describe("a peer that is not kilnd", () => {
  it("is told apart when it does not speak HTTP/2", async () => {
    const { socketPath, close } = await listen(createServer((socket) => socket.end("SSH-2.0-hello\r\n")));
    const other = new Transport(() => dial(socketPath));
    await assert.rejects(other.unary("SystemService/Version", {}), (error) =>
      hasReason(error, "connection-lost"),
    );
    await other.close();
    await close();
  });

  it("is told apart when it answers with something else", async () => {
    const server = createHttp2Server((_request, response) => {
      response.statusCode = 404;
      response.end("not here");
    });
    const { socketPath, close } = await listen(server as unknown as Server);
    const other = new Transport(() => dial(socketPath));
    await assert.rejects(other.unary("SystemService/Version", {}), (error) =>
      hasReason(error, "unknown-method"),
    );
    const stream = other.serverStream("SystemService/Events", {});
    await assert.rejects(stream.next(), (error) => hasReason(error, "unknown-method"));
    await other.close();
    await close();
  });
});

async function listen(server: Server): Promise<{ socketPath: string; close(): Promise<void> }> {
  const directory = await mkdtemp(join(tmpdir(), "transport-"));
  const socketPath = join(directory, "s");
  server.listen(socketPath);
  await once(server, "listening");
  return {
    socketPath,
    close: async () => {
      server.close();
      await rm(directory, { recursive: true });
    },
  };
}
