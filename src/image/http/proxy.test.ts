import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { after, before, describe, it } from "node:test";
import { makeCertificate } from "../../../test/fixtures/registry/certificate.js";
import { type FakeRegistry, startFakeRegistry } from "../../../test/fixtures/registry/fake-registry.js";
import { HttpClient } from "./client.js";
import { proxyFor } from "./proxy.js";

describe("proxyFor", () => {
  const env = { HTTPS_PROXY: "http://user:pw@proxy.example:3128", HTTP_PROXY: "proxy.example:8080" };
  const via = (url: string, more: NodeJS.ProcessEnv = {}) =>
    proxyFor(new URL(url), { ...env, ...more })?.host;

  it("goes by the scheme", () => {
    assert.equal(via("https://a.example/"), "proxy.example:3128");
    assert.equal(via("http://a.example/"), "proxy.example:8080");
  });
  it("never asks this machine through a proxy", () =>
    assert.equal(via("https://127.0.0.1:5000/"), undefined));
  for (const [list, direct, proxied] of [
    ["a.example", "https://sub.a.example/", "https://ba.example/"],
    [".a.example", "https://sub.a.example/", "https://b.example/"],
    ["a.example:8443", "https://a.example:8443/", "https://a.example/"],
    ["10.0.0.0/8", "https://10.1.2.3/", "https://11.1.2.3/"],
    ["fd00::/8", "https://[fd12::1]/", "https://[fe12::1]/"],
  ] as const) {
    it(`honours NO_PROXY=${list}`, () => {
      assert.equal(via(direct, { NO_PROXY: list }), undefined);
      assert.equal(via(proxied, { NO_PROXY: list }), "proxy.example:3128");
    });
  }
  it("takes * for everything", () => assert.equal(via("https://a.example/", { no_proxy: "*" }), undefined));
  it("does not show the value of a variable that it can't use", () => {
    assert.throws(
      () => proxyFor(new URL("https://a.example/"), { HTTPS_PROXY: "socks5://user:SECRET@x" }),
      (error: unknown) => error instanceof Error && !error.message.includes("SECRET"),
    );
  });
});

describe("HttpClient behind a proxy", () => {
  const certificate = makeCertificate(["registry.test"]);
  const asked: string[] = [];
  let registry: FakeRegistry;
  let proxy: Server;
  let env: NodeJS.ProcessEnv;
  before(async () => {
    registry = await startFakeRegistry({ tls: certificate });
    proxy = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      response.end("forwarded");
    });
    proxy.on("connect", (request, socket) => {
      asked.push(`CONNECT ${request.url} ${request.headers["proxy-authorization"]}`);
      const [host = "", port = ""] = registry.host.split(":");
      const upstream = connect(Number(port), host, () => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        socket.pipe(upstream).pipe(socket);
      });
      for (const end of [socket, upstream]) end.on("error", () => end.destroy());
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const url = `http://me:pw@127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    env = { HTTPS_PROXY: url, HTTP_PROXY: url };
  });
  after(async () => {
    proxy.closeAllConnections();
    proxy.close();
    await registry.close();
  });

  const ask = async (url: string) => {
    using client = new HttpClient({
      home: new URL(url),
      tls: { ca: [certificate.cert] },
      env,
      limits: { answerMs: 10_000 },
    });
    const answer = await client.send({ method: "GET", url: new URL(url), headers: {} });
    answer.body.resume();
    return answer.status;
  };

  it("opens a tunnel for HTTPS and checks the certificate of the far end", async () => {
    assert.equal(await ask("https://registry.test/v2/"), 200);
    assert.deepEqual(asked.splice(0), [
      `CONNECT registry.test:443 Basic ${Buffer.from("me:pw").toString("base64")}`,
    ]);
  });
  it("asks the proxy itself for plain HTTP", async () => {
    assert.equal(await ask("http://registry.test/v2/"), 200);
    assert.deepEqual(asked.splice(0), ["GET http://registry.test/v2/"]);
  });
});
