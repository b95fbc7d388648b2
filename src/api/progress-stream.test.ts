import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { OnProgress } from "../base/progress.js";
import { deferred } from "../base/runtime.js";
import { withProgress } from "./progress-stream.js";

describe("withProgress", () => {
  it("gives steps, then the result", async () => {
    const seen: unknown[] = [];
    const work = async (onProgress: OnProgress) => {
      onProgress({ id: "a", status: "building" });
      return 7;
    };
    for await (const item of withProgress(work))
      seen.push(item.kind === "result" ? item.value : item.update.id);
    assert.deepEqual(seen, ["a", 7]);
  });

  it("skips steps that a slow reader would only see late", async () => {
    const gate = deferred<void>();
    const stream = withProgress(async (onProgress) => {
      onProgress({ id: "a", status: "extracting", current: 1 });
      await gate.promise;
      for (let current = 2; current <= 100; current++) onProgress({ id: "a", status: "extracting", current });
    });
    const first = await stream.next();
    gate.resolve();
    await new Promise((resolve) => setImmediate(resolve));
    const second = await stream.next();
    const currents = [first, second].map(({ value }) =>
      value?.kind === "progress" ? value.update.current : undefined,
    );
    assert.deepEqual(currents, [1, 100]);
  });

  it("throws what the work throws, after the steps before it", async () => {
    const stream = withProgress(async (onProgress) => {
      onProgress({ id: "a", status: "building" });
      throw new Error("no");
    });
    assert.equal((await stream.next()).value?.kind, "progress");
    await assert.rejects(stream.next(), { message: "no" });
  });
});
