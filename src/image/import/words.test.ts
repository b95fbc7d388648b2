// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are a Dockerfile's variables, not JavaScript's

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { joinWords, splitWords, WordError } from "./words.js";

const VARIABLES = new Map([
  ["A", "one two"],
  ["B", ""],
]);

describe("splitWords", () => {
  for (const [text, expected] of [
    ["a  b\tc", ["a", "b", "c"]],
    ['"a b" c', ["a b", "c"]],
    ["'a $A' x", ["a $A", "x"]],
    ["a\\ b", ["a b"]],
    ['"say \\"hi\\" \\n"', ['say "hi" \\n']],
    ["x$A", ["xone two"]],
    ["${A}x", ["one twox"]],
    ["${B:-other} ${A:-other}", ["other", "one two"]],
    ["x${A:+there}${B:+there}", ["xthere"]],
    ["${B:-${A}}", ["one two"]],
    ["$NONE", [""]],
    ["5$ $", ["5$", "$"]],
    ["\\$A", ["$A"]],
    ["a'b'\"c\"", ["abc"]],
  ] as const) {
    it(`splits ${text}`, () => assert.deepEqual(splitWords(text, VARIABLES), expected));
  }
  for (const text of ['"a', "'a", "a\\", "${A", "${}", "${A:?x}", "${A:-"]) {
    it(`refuses ${text}`, () => assert.throws(() => splitWords(text, VARIABLES), WordError));
  }
  it("bounds what variables blow up", () => {
    const big = new Map([["X", "x".repeat(100_000)]]);
    assert.throws(() => splitWords("$X$X", big), WordError);
  });
  it("ends on every text", () => {
    const text = fc.string({
      unit: fc.constantFrom("$", "{", "}", ":", "-", "+", '"', "'", "\\", " ", "A", "1"),
    });
    fc.assert(
      fc.property(text, (value) => {
        try {
          assert.ok(Array.isArray(splitWords(value, VARIABLES)));
        } catch (error) {
          assert.ok(error instanceof WordError);
        }
      }),
    );
  });
});

describe("joinWords", () => {
  it("keeps the space between words", () =>
    assert.equal(joinWords('a  "b  c" $A', VARIABLES), "a  b  c one two"));
});
