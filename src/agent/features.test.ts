import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../base/errors.js";
import { deferred } from "../base/runtime.js";
import { Features } from "./features.js";

const OLD = { features: [] };
const NEW = { features: ["workloads", "what-comes-later"] };

/** Counts the calls that are made for the features alone. */
function asking(...answers: readonly (typeof NEW | Error)[]) {
  const left = [...answers];
  let asked = 0;
  const features = new Features(async () => {
    asked++;
    const answer = left.shift();
    if (answer === undefined || answer instanceof Error) throw answer ?? new Error("asked too often");
    return answer;
  });
  return { features, asked: () => asked };
}

describe("features of an agent", () => {
  it("are asked for once, and only when one is needed", async () => {
    const { features, asked } = asking(NEW);
    assert.equal(asked(), 0);
    assert.equal(await features.has("workloads"), true);
    assert.equal(await features.has("hold"), false);
    assert.equal(asked(), 1);
  });

  it("are known from a State call that was made for something else, also while that is under way", async () => {
    const { features, asked } = asking();
    const state = deferred<typeof NEW>();
    const noted = features.note(state.promise);
    const found = features.has("workloads");
    state.resolve(NEW);
    assert.equal(await noted, NEW);
    assert.equal(await found, true);
    assert.equal(asked(), 0);
  });

  it("are asked for again where a call has failed", async () => {
    const { features, asked } = asking(new Error("broken"), NEW);
    await assert.rejects(features.note(Promise.reject(new Error("timeout"))), /timeout/);
    await assert.rejects(features.has("workloads"), /broken/);
    assert.equal(await features.has("workloads"), true);
    assert.equal(asked(), 2);
  });

  it("are waited for as long as a caller does, and no caller is held for ever", async () => {
    const silent = new Features(() => new Promise(() => undefined));
    await assert.rejects(silent.has("workloads", { timeoutMs: 1 }), (error) => hasReason(error, "timeout"));
    const gone = new Error("the caller has gone");
    const signal = AbortSignal.abort(gone);
    await assert.rejects(silent.need("workloads", "start", { signal }), gone);
    // Nor by a State call of somebody else's that has no end.
    const { features } = asking();
    void features.note(new Promise<typeof NEW>(() => undefined));
    await assert.rejects(features.has("hold", { timeoutMs: 1 }), (error) => hasReason(error, "timeout"));
  });

  it("are asked for with the time that there is", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const limits: unknown[] = [];
    const features = new Features((limit) => {
      limits.push(limit.timeoutMs);
      return new Promise(() => undefined);
    });
    const asked = features.has("workloads", { timeoutMs: 60_000 });
    const refused = assert.rejects(asked, (error) => hasReason(error, "timeout"));
    t.mock.timers.tick(15_000);
    await refused;
    assert.deepEqual(limits, [15_000]);
  });

  it("of an agent that names none are those of 0.1.0", async () => {
    const { features } = asking(OLD);
    await assert.rejects(
      features.need("workloads", "start a program in VM urn"),
      (error) => hasReason(error, "agent-too-old") && /VM urn: the VM runs an agent/.test(String(error)),
    );
  });
});
