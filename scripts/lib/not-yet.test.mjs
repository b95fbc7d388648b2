import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { judge } from "./not-yet.mjs";

describe("what may still stand", () => {
  const told = (problems, known) => {
    const lines = [];
    judge(problems, known, (line) => lines.push(line.trim()));
    return lines;
  };

  it("is told and does not fail", () => {
    assert.deepEqual(told([{ key: "a", text: "a is long" }], ["a"]), ["not yet: a is long"]);
  });

  it("leaves all else a failure that names each", () => {
    const problems = ["a", "b", "c"].map((key) => ({ key, text: `${key} is long` }));
    assert.throws(() => told(problems, ["b"]), { message: "a is long\nc is long" });
  });

  it("is to be taken off once it is mended", () => {
    assert.deepEqual(told([], ["a"]), ["mended, take it off not-yet.mjs: a"]);
  });
});
