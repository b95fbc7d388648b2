import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { parseChallenges } from "./challenge.js";

const plain = (header: string) =>
  parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);

describe("parseChallenges", () => {
  it("reads the challenge of a token registry", () => {
    const header =
      'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull"';
    assert.deepEqual(plain(header), [
      [
        "bearer",
        { realm: "https://auth.example/token", service: "registry.example", scope: "repository:a/b:pull" },
      ],
    ]);
  });
  it("keeps commas and escaped quotes inside a quoted value", () => {
    assert.deepEqual(plain('Bearer scope="a:b:pull,push", realm="x\\"y"'), [
      ["bearer", { scope: "a:b:pull,push", realm: 'x"y' }],
    ]);
  });
  it("reads several challenges of one header", () => {
    assert.deepEqual(plain('Basic realm="a", Bearer realm="b",service=c'), [
      ["basic", { realm: "a" }],
      ["bearer", { realm: "b", service: "c" }],
    ]);
  });
  it("reads a scheme without parameters", () => {
    assert.deepEqual(plain("Negotiate, Basic realm=x"), [
      ["negotiate", {}],
      ["basic", { realm: "x" }],
    ]);
  });
  it("lets the first of equal parameters count", () => {
    assert.deepEqual(plain("Bearer realm=a, realm=b"), [["bearer", { realm: "a" }]]);
  });
  it("drops a value that does not end", () => assert.deepEqual(plain('Bearer realm="a'), [["bearer", {}]]));
  it("gives nothing for an oversized header", () => {
    assert.deepEqual(parseChallenges(`Bearer realm="${"x".repeat(20_000)}"`), []);
  });
  it("gives back what was written, whatever the values", () => {
    const name = fc.stringMatching(/^[a-z]{1,10}$/);
    fc.assert(
      fc.property(fc.dictionary(name, fc.string({ maxLength: 40 }), { minKeys: 1, maxKeys: 5 }), (values) => {
        const quote = (value: string) => `"${value.replace(/[\\"]/g, "\\$&")}"`;
        const header = `Bearer ${Object.entries(values)
          .map(([key, value]) => `${key}=${quote(value)}`)
          .join(", ")}`;
        assert.deepEqual(plain(header), [["bearer", { ...values }]]);
      }),
    );
  });
  it("ends on every text", () => {
    const text = fc.string({
      unit: fc.constantFrom('"', "\\", ",", "=", " ", "a", "B", "\t", ";", "é"),
      maxLength: 200,
    });
    fc.assert(
      fc.property(text, (header) => {
        assert.ok(parseChallenges(header).every(({ scheme }) => scheme !== ""));
      }),
    );
  });
});
