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
import { runWatched } from "../../test/fixtures/watchdog.js";
import { silentLogger } from "../base/log.js";
import { SystemService } from "../gen/kiln/v1/system_pb.js";
import { createProtocolServer, type ProtocolServer } from "./protocol-server.js";

let directory: string;
let path: string;
let server: ProtocolServer;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "kiln-protocol-"));
  path = join(directory, "s.sock");
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
    log: silentLogger,
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
