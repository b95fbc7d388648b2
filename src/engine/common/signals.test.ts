import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../../base/errors.js";
import { signalNumber } from "./signals.js";

describe("signalNumber", () => {
  const CASES: [string, number][] = [
    ["TERM", 15],
    ["SIGTERM", 15],
    ["sigint", 2],
    ["9", 9],
    ["HUP", 1],
    ["RTMIN", 34],
    ["SIGRTMIN+3", 37],
    ["RTMAX-2", 62],
    ["64", 64],
  ];
  for (const [text, number] of CASES) {
    it(`knows ${text} as ${number}`, () => assert.equal(signalNumber(text), number));
  }

  for (const text of ["", "0", "65", "FOO", "SIGRTMIN+40", "SIGRTMAX+1", "-9", "toString", "9.5"]) {
    it(`refuses "${text}"`, () => {
      assert.throws(
        () => signalNumber(text),
        (error) => hasReason(error, "bad-signal"),
      );
    });
  }
});
