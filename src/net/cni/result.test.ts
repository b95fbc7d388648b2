import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { seededRandom } from "../../../test/fixtures/seeded-random.js";
import { parseFailure, parseResultText, resultOf } from "./result.js";

const RESULT = {
  cniVersion: "0.4.0",
  interfaces: [{ name: "eth0", mac: "02:00:00:00:00:01", sandbox: "/proc/7/ns/net" }],
  ips: [{ version: "4", address: "10.1.0.5/24", gateway: "10.1.0.1", interface: 0 }],
  routes: [{ dst: "0.0.0.0/0" }],
  dns: { nameservers: ["10.1.0.1"], search: ["example.com"] },
};

describe("a plugin's answer", () => {
  it("is a result in the form of any version, kept whole for the next plugin", () => {
    const raw = parseResultText(JSON.stringify(RESULT));
    assert.deepEqual(raw, RESULT);
    const { ips, dns } = resultOf(RESULT);
    assert.deepEqual(ips, [{ address: "10.1.0.5/24", gateway: "10.1.0.1", interface: 0 }]);
    assert.deepEqual(dns, { nameservers: ["10.1.0.1"], domain: "", search: ["example.com"], options: [] });
    assert.deepEqual(resultOf({}).ips, []);
  });

  const BAD: readonly [unknown, RegExp][] = [
    [[], /no object/],
    [{ ips: [{ address: "10.1.0.5" }] }, /^ips\.0\.address: it is no address with a prefix/],
    [{ ips: [{ address: "10.1.0.5/33" }] }, /prefix/],
    [{ ips: [{ address: "fe80::1%eth0/64" }] }, /prefix/],
    [{ ips: [{ address: "10.1.0.5/24", gateway: "router" }] }, /gateway/],
    [{ ips: Array(65).fill({ address: "10.1.0.5/24" }) }, /^ips/],
    [{ dns: { nameservers: ["a b"] } }, /nameservers\.0: it is no address/],
    [{ dns: { search: ["x".repeat(256)] } }, /search/],
    [{ dns: { search: ["a\nnameserver 192.0.2.1"] } }, /search\.0: it is no word/],
    [{ dns: { domain: "a b" } }, /domain/],
    [{ dns: { options: ["ndots:2", "rotate\r"] } }, /options\.1/],
    [{ interfaces: [{ name: 7 }] }, /interfaces\.0\.name/],
  ];
  it("is refused where it is none", () => {
    assert.match(String(parseResultText("")), /no JSON/);
    const deep = `{"x":${"[".repeat(100_000)}${"]".repeat(100_000)}}`;
    assert.match(String(parseResultText(deep)), /lists deep/);
    for (const [value, words] of BAD) assert.match(String(parseResultText(JSON.stringify(value))), words);
  });

  it("is an error with a code, or words that are none", () => {
    const text = JSON.stringify({ code: 7, msg: "no", details: "x".repeat(5_000) });
    const failure = parseFailure(text);
    assert.deepEqual([failure?.code, failure?.msg, failure?.details.length], [7, "no", 1024]);
    for (const each of ["", "null", '{"code":"7","msg":"x"}', '{"msg":"x"}', '{"code":1.5,"msg":"x"}'])
      assert.equal(parseFailure(each), undefined, each);
  });

  it("that is damaged anywhere is taken or refused, and nothing else", () => {
    const random = seededRandom(9);
    const text = JSON.stringify(RESULT);
    for (let round = 0; round < 3_000; round++) {
      const at = random.below(text.length);
      const byte = String.fromCharCode(32 + random.below(95));
      const damaged = text.slice(0, at) + byte + text.slice(at + random.below(3));
      const parsed = parseResultText(damaged);
      assert.ok(typeof parsed === "string" || resultOf(parsed).ips.length <= 64);
      parseFailure(damaged);
    }
  });
});
