import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { deadlineSignal } from "./deadline.js";

describe("deadlineSignal", () => {
  it("never asks for a timer that Node would take for 1 ms", (t) => {
    const timeout = t.mock.method(AbortSignal, "timeout");
    assert.equal(deadlineSignal({ timeoutMs: 2 ** 40 })?.aborted, false);
    assert.equal(timeout.mock.calls[0]?.arguments[0], 2 ** 31 - 1);
  });
});
