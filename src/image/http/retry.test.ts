import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Code, KilnError } from "../../base/errors.js";
import { parseRetryAfter, planRetry, withRetries } from "./retry.js";

const LIMITS = { attempts: 4, retryBaseMs: 100, retryMaxMs: 300, retryAfterMaxMs: 5000 };
const busy = (details: Record<string, string> = {}) =>
  new KilnError(Code.Unavailable, "busy", { reason: "registry-error", details });

describe("planRetry", () => {
  it("doubles the pause up to its bound", () => {
    const waits = [1, 2, 3].map((failures) => planRetry(busy(), failures, LIMITS, 1));
    assert.deepEqual(waits, [{ waitMs: 100 }, { waitMs: 200 }, { waitMs: 300 }]);
  });
  it("spreads the pause between half and the whole", () => {
    assert.deepEqual(planRetry(busy(), 1, LIMITS, 0), { waitMs: 50 });
  });
  it("gives up when the tries are used up", () => {
    const plan = planRetry(busy(), 4, LIMITS, 1);
    assert.equal("giveUp" in plan && plan.giveUp.message, "busy");
  });
  it("does not try again what can't succeed", () => {
    const error = new KilnError(Code.NotFound, "gone", { reason: "image-not-found" });
    assert.deepEqual(planRetry(error, 1, LIMITS, 1), { giveUp: error });
  });
  it("waits as long as the server asks", () => {
    assert.deepEqual(planRetry(busy({ retryAfterMs: "4000" }), 1, LIMITS, 1), { waitMs: 4000 });
  });
  it("gives up, saying how long, where the server asks for too much", () => {
    const plan = planRetry(busy({ retryAfterMs: "7200000" }), 1, LIMITS, 1);
    assert.match(("giveUp" in plan && plan.giveUp.message) || "", /wait 7200 s/);
  });
});

describe("withRetries", () => {
  const limits = { attempts: 3, retryBaseMs: 0, retryMaxMs: 0, retryAfterMaxMs: 0 };

  it("returns what a later try brings", async () => {
    let tries = 0;
    const result = await withRetries({ limits }, async () => {
      if (++tries < 3) throw busy();
      return tries;
    });
    assert.equal(result, 3);
  });
  it("does not ask a host again that can't be reached", async () => {
    let tries = 0;
    await assert.rejects(
      withRetries({ limits }, async () => {
        tries++;
        throw busy({ unreachable: "true" });
      }),
      /busy/,
    );
    assert.equal(tries, 1);
  });
  it("stops waiting when the caller gives up", async () => {
    const controller = new AbortController();
    const waiting = withRetries(
      {
        limits: { ...limits, retryBaseMs: 3_600_000, retryMaxMs: 3_600_000 },
        signal: controller.signal,
        onRetry: () => controller.abort(),
      },
      async () => {
        throw busy();
      },
    );
    await assert.rejects(waiting, { name: "AbortError" });
  });
});

describe("parseRetryAfter", () => {
  const now = Date.parse("2024-01-01T00:00:00Z");
  it("reads seconds", () => assert.equal(parseRetryAfter("120", now), 120_000));
  it("reads a date", () => assert.equal(parseRetryAfter("Mon, 01 Jan 2024 00:00:30 GMT", now), 30_000));
  it("reads a date that has passed as now", () => {
    assert.equal(parseRetryAfter("Sun, 31 Dec 2023 00:00:00 GMT", now), 0);
  });
  for (const value of [undefined, "", "soon", "-5", "1e9", "99999999999999"]) {
    it(`does not take ${JSON.stringify(value)}`, () => assert.equal(parseRetryAfter(value, now), undefined));
  }
  it("never gives a negative or unreal time", () => {
    fc.assert(
      fc.property(fc.string(), (value) => {
        const wait = parseRetryAfter(value, now);
        assert.ok(wait === undefined || (wait >= 0 && Number.isFinite(wait)));
      }),
    );
  });
});
