import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isTransient, networkError, quoteServer, showUrl } from "./failures.js";

const systemError = (code: string) => Object.assign(new Error(code), { code });

describe("networkError", () => {
  for (const [code, reason, transient] of [
    ["ECONNREFUSED", "registry-unreachable", true],
    ["ENOTFOUND", "registry-unreachable", true],
    ["ECONNRESET", "registry-unreachable", true],
    ["EAI_AGAIN", "registry-unreachable", true],
    ["ETIMEDOUT", "registry-timeout", true],
    ["CERT_HAS_EXPIRED", "tls-error", false],
    ["DEPTH_ZERO_SELF_SIGNED_CERT", "tls-error", false],
    ["ERR_SSL_WRONG_VERSION_NUMBER", "tls-error", false],
    ["HPE_INVALID_CONSTANT", "registry-error", false],
  ] as const) {
    it(`makes ${code} ${reason}, ${transient ? "worth" : "not worth"} another try`, () => {
      const error = networkError(systemError(code), "registry x");
      assert.equal(error.reason, reason);
      assert.equal(isTransient(error), transient);
    });
  }
  it("tells a cancelled pull from a broken line", () => {
    const controller = new AbortController();
    controller.abort();
    assert.equal(networkError(systemError("ECONNRESET"), "x", controller.signal).reason, "cancelled");
  });
});

describe("quoteServer", () => {
  it("makes a server's words fit for a terminal", () => {
    assert.equal(quoteServer("a\u001b[31m\r\nb\u202ec\u0000"), "a [31m b c");
  });
  it("bounds them", () => assert.equal(quoteServer("x".repeat(1000)).length, 303));
});

describe("showUrl", () => {
  it("leaves out user, query and fragment", () => {
    assert.equal(showUrl(new URL("https://u:p@h.example/a?sig=x#y")), "https://h.example/a");
  });
});
