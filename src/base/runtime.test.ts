import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { delay, LONGEST_TIMER_MS } from "./runtime.js";

describe("delay", () => {
  it("never asks for a timer that Node would take for 1 ms", async (t) => {
    const set = t.mock.method(globalThis, "setTimeout");
    const abort = new AbortController();
    const waiting = delay(2 ** 40, abort.signal);
    abort.abort(new Error("enough"));
    await assert.rejects(waiting, { message: "enough" });
    assert.equal(set.mock.calls[0]?.arguments[1], LONGEST_TIMER_MS);
  });
});
