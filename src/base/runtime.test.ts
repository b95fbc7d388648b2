import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { allEnded, deferred } from "./runtime.js";

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
