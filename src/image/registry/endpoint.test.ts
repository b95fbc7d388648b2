import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { makeCertificate } from "../../../test/fixtures/registry/certificate.js";
import { startFakeRegistry } from "../../../test/fixtures/registry/fake-registry.js";
import { type EndpointOptions, needsProbe, planEndpoints, probeLoopbackScheme } from "./endpoint.js";
import type { HostsConfig } from "./hosts-file.js";

const SETTINGS = { resolve: true, pull: true, headers: {}, tls: {} };

function plan(options: Partial<EndpointOptions> & { registry: string }) {
  return planEndpoints({ hosts: undefined, plainHttp: false, loopbackScheme: "http", ...options });
}

function mirrorsOf(...urls: string[]): HostsConfig {
  return {
    mirrors: urls.map((url) => ({ ...SETTINGS, url: new URL(url) })),
    server: undefined,
    origin: SETTINGS,
  };
}

describe("planEndpoints", () => {
  it("asks the named registry and nobody else", () => {
    const endpoints = plan({ registry: "ghcr.io" });
    assert.deepEqual(
      endpoints.map(({ root, credentialsKey }) => [root.href, credentialsKey]),
      [["https://ghcr.io/v2", "ghcr.io"]],
    );
  });
  it("finds Docker Hub where it lives", () => {
    const [endpoint] = plan({ registry: "docker.io" });
    assert.deepEqual([endpoint?.root.host, endpoint?.credentialsKey], ["registry-1.docker.io", "docker.io"]);
  });
  it("speaks plain HTTP off loopback only where it was asked to", () => {
    assert.equal(plan({ registry: "reg.example" })[0]?.root.protocol, "https:");
    assert.equal(plan({ registry: "reg.example", plainHttp: true })[0]?.root.protocol, "http:");
  });
  it("speaks to a registry on this machine what it speaks", () => {
    assert.equal(plan({ registry: "127.0.0.1:5000" })[0]?.root.protocol, "http:");
    assert.equal(plan({ registry: "127.0.0.1:5000", loopbackScheme: "https" })[0]?.root.protocol, "https:");
  });
  it("asks mirrors first, each with its own credentials, and tells them whose images it wants", () => {
    const hosts = mirrorsOf("https://mirror.example/v2", "http://10.0.0.1:5000/v2");
    assert.deepEqual(
      plan({ registry: "docker.io", hosts }).map(({ root, credentialsKey, namespace, plainHttp }) => [
        root.host,
        credentialsKey,
        namespace,
        plainHttp,
      ]),
      [
        ["mirror.example", "mirror.example", "docker.io", false],
        ["10.0.0.1:5000", "10.0.0.1:5000", "docker.io", true],
        ["registry-1.docker.io", "docker.io", undefined, false],
      ],
    );
  });
  it("leaves out a host that may do nothing", () => {
    const none = { ...SETTINGS, resolve: false, pull: false };
    const hosts = { ...mirrorsOf("https://mirror.example/v2"), origin: none };
    assert.deepEqual(
      plan({ registry: "docker.io", hosts }).map(({ root }) => root.host),
      ["mirror.example"],
    );
  });
  it("does not give a registry's credentials to a server that stands in for it", () => {
    const hosts = { ...mirrorsOf(), server: new URL("https://stand-in.example/v2") };
    const [endpoint] = plan({ registry: "ghcr.io", hosts });
    assert.deepEqual([endpoint?.credentialsKey, endpoint?.namespace], ["stand-in.example", "ghcr.io"]);
  });
});

describe("needsProbe", () => {
  const probe = (registry: string, plainHttp = false) =>
    needsProbe({ registry, plainHttp, hosts: undefined });
  it("is needed on this machine only", () => {
    assert.deepEqual([probe("localhost:5000"), probe("ghcr.io")], [true, false]);
  });
  it("is not needed where plain HTTP was asked for", () =>
    assert.equal(probe("localhost:5000", true), false));
});

describe("probeLoopbackScheme", () => {
  it("tells TLS from plain HTTP, whatever the certificate", async () => {
    await using plain = await startFakeRegistry();
    await using tls = await startFakeRegistry({ tls: makeCertificate(["elsewhere.example"]) });
    assert.equal(await probeLoopbackScheme(plain.host, { answerMs: 20_000 }), "http");
    assert.equal(await probeLoopbackScheme(tls.host, { answerMs: 20_000 }), "https");
  });
  it("says so where nobody listens", async () => {
    const gone = await startFakeRegistry();
    await gone.close();
    await assert.rejects(probeLoopbackScheme(gone.host, { answerMs: 20_000 }), {
      reason: "registry-unreachable",
    });
  });
});
