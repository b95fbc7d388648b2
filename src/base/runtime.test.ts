import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { allEnded, deferred, delay, LONGEST_TIMER_MS } from "./runtime.js";

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

describe("allEnded", () => {
  it("rejects with the first failure, and not before the last part has ended", async () => {
    const late = deferred<void>();
    let over = false;
    const all = allEnded([late.promise, Promise.reject(new Error("full")), Promise.resolve()]).finally(() => {
      over = true;
    });
    all.catch(() => undefined);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(over, false, "one part goes on");
    late.resolve();
    await assert.rejects(all, { message: "full" });
  });
});
