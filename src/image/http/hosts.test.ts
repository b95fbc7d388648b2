import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isLocalHost, isLoopbackHost } from "./hosts.js";

const hostname = (host: string) => new URL(`http://${host}/`).hostname;

describe("isLoopbackHost", () => {
  for (const host of [
    "localhost",
    "a.localhost",
    "127.0.0.1",
    "127.8.9.10",
    "127.1",
    "0x7f.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
  ]) {
    it(`knows ${host}`, () => assert.equal(isLoopbackHost(hostname(host)), true));
  }
  for (const host of [
    "example.com",
    "128.0.0.1",
    "10.0.0.1",
    "127.0.0.1.example.com",
    "localhost.example.com",
    "[::2]",
  ]) {
    it(`does not take ${host}`, () => assert.equal(isLoopbackHost(hostname(host)), false));
  }
});

describe("isLocalHost", () => {
  for (const host of [
    "0.0.0.0",
    "169.254.169.254",
    "[::]",
    "[fe80::1]",
    "[::ffff:169.254.169.254]",
    "127.0.0.1",
  ]) {
    it(`knows ${host}`, () => assert.equal(isLocalHost(hostname(host)), true));
  }
  it("does not take a private network for this machine", () =>
    assert.equal(isLocalHost("192.168.0.1"), false));
});
