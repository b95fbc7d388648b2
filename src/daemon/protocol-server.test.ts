import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import * as http from "node:http";
import * as http2 from "node:http2";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import {
  EMPTY_CONTINUATION,
  EMPTY_DATA,
  EMPTY_FRAMES,
  flood,
  PADDING,
  POST,
  POST_TO_BE_CONTINUED,
  PREFACE,
  REFUSED_ANYWAY,
  SETTINGS,
} from "../../test/fixtures/empty-frames.js";
import { runWatched } from "../../test/fixtures/watchdog.js";
import { FrameCursor } from "../base/frame-tap.js";
import { silentLogger } from "../base/log.js";
import { SystemService } from "../gen/kiln/v1/system_pb.js";
import { createProtocolServer, type ProtocolServer } from "./protocol-server.js";

let directory: string;
let path: string;
let server: ProtocolServer;
let warnings: string[];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "kiln-protocol-"));
  path = join(directory, "s.sock");
  warnings = [];
  server = createProtocolServer({
    routes: (router) => {
      router.service(SystemService, {
        version: () => ({ version: "1" }),
        async *events() {
          for (const action of ["one", "two"]) yield { event: { action } };
        },
      });
    },
    interceptors: [],
    log: { ...silentLogger, warn: (message) => warnings.push(message) },
  });
  await new Promise<void>((resolve) => server.socket.listen(path, resolve));
});
afterEach(async () => {
  await server.close();
  await rm(directory, { recursive: true, force: true });
});

function post(
  pathname: string,
  body: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const options = {
      socketPath: path,
      path: pathname,
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
    };
    const request = http.request(options, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    request.on("error", reject);
    request.end(body);
  });
}

const nodeOptions = () => ({ createConnection: () => connect(path) });

describe("one socket", () => {
  it("answers plain JSON over HTTP/1.1, as curl asks", async () => {
    assert.deepEqual(await post("/kiln.v1.SystemService/Version", "{}"), {
      status: 200,
      text: '{"version":"1"}',
    });
  });

  it("answers gRPC", async () => {
    const transport = createGrpcTransport({ baseUrl: "http://localhost", nodeOptions: nodeOptions() });
    assert.equal((await createClient(SystemService, transport).version({})).version, "1");
  });

  it("answers Connect over HTTP/2, streams too", async () => {
    const transport = createConnectTransport({
      baseUrl: "http://localhost",
      httpVersion: "2",
      nodeOptions: nodeOptions(),
    });
    const actions: string[] = [];
    for await (const { event } of createClient(SystemService, transport).events({}))
      actions.push(event?.action ?? "");
    assert.deepEqual(actions, ["one", "two"]);
  });

  it("says what is missing on a path that is none", async () => {
    const { status, text } = await post("/elsewhere", "{}");
    assert.deepEqual([status, JSON.parse(text).code], [404, "not_found"]);
  });

  it("survives a socket path as :authority, which some gRPC clients send", async () => {
    const session = http2.connect("http://localhost", nodeOptions());
    const stream = session.request({
      ":method": "POST",
      ":path": "/kiln.v1.SystemService/Version",
      ":authority": "%2Frun%2Fkiln%2Fkiln.sock",
      "content-type": "application/json",
    });
    stream.end("{}");
    let text = "";
    for await (const chunk of stream.setEncoding("utf8")) text += chunk;
    session.close();
    assert.equal(text, '{"version":"1"}');
  });

  it("survives a Host header that is no host", async () => {
    assert.equal((await post("/kiln.v1.SystemService/Version", "{}", { host: "%zz/..//" })).status, 200);
  });

  it("takes a request whose first bytes come one by one", async () => {
    const socket = connect(path);
    const body =
      "POST /kiln.v1.SystemService/Version HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
    let text = "";
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
    for (const char of body.slice(0, 6))
      await new Promise((resolve) => socket.write(char, () => setImmediate(resolve)));
    socket.write(body.slice(6));
    await closed;
    assert.match(text, /^HTTP\/1\.1 200/);
  });

  it("drops a client that talks garbage, and goes on", async () => {
    for (const garbage of ["\0\0\0\0\0\0", "PRI nonsense\r\n\r\n", "GET"]) {
      const socket = connect(path);
      socket.on("error", () => undefined);
      socket.end(garbage);
      socket.resume();
      await new Promise((resolve) => socket.once("close", resolve));
    }
    assert.equal((await post("/kiln.v1.SystemService/Version", "{}")).status, 200);
  });

  it("neither spins nor stops at any prefix of any opening", async () => {
    const [prefixes, answer] = await runWatched("watched/protocol-openings.js");
    assert.match(prefixes ?? "", /^1\d\d prefixes$|^2\d\d prefixes$/);
    assert.equal(answer, '{"version":"1"}');
  });
});

describe("a client that sends frames without end", () => {
  const kinds: Record<string, readonly [Buffer, Buffer]> = {
    ...EMPTY_FRAMES,
    "data without a byte": [POST, EMPTY_DATA],
    "data that is all padding": [POST, PADDING],
    "headers that go on": [POST_TO_BE_CONTINUED, EMPTY_CONTINUATION],
  };
  for (const [kind, [opening, repeated]] of Object.entries(kinds)) {
    it(`loses its connection: ${kind}`, async () => {
      const socket = connect(path);
      socket.write(Buffer.concat([PREFACE, SETTINGS, opening]));
      assert.equal(await flood(socket, repeated, 64 * 1024 ** 2), true, "its connection is still open");
      if (!REFUSED_ANYWAY.has(kind))
        assert.match(warnings.join(), /far more HTTP\/2 frames than it has reason to/);
      assert.equal((await post("/kiln.v1.SystemService/Version", "{}")).status, 200, "others are served");
    });
  }

  it("is told to calm down", { timeout: 60_000 }, async () => {
    const socket = connect(path);
    const code = new Promise<number>((resolve) => {
      const heard = new FrameCursor(0, { onGoodbye: resolve });
      socket.on("data", (chunk: Buffer) => heard.push(chunk));
    });
    // No more than is read before the next look: a connection that is closed with bytes unread says nothing.
    socket.write(
      Buffer.concat([PREFACE, SETTINGS, Buffer.alloc(14 * 500_000, EMPTY_FRAMES.priorities?.[1])]),
    );
    assert.equal(await code, http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
    socket.destroy();
  });

  it("is not one that makes many calls, large and small", async () => {
    const session = http2.connect("http://localhost", nodeOptions());
    for (let call = 0; call < 2_000; call++) {
      const stream = session.request({
        ":method": "POST",
        ":path": "/kiln.v1.SystemService/Version",
        "content-type": "application/json",
      });
      stream.end(JSON.stringify({ beside: "x".repeat(call % 100 === 0 ? 4 * 1024 ** 2 : 10) }));
      let text = "";
      for await (const chunk of stream.setEncoding("utf8")) text += chunk;
      assert.equal(text, '{"version":"1"}');
    }
    assert.deepEqual([session.destroyed, warnings], [false, []]);
    session.close();
  });
});
