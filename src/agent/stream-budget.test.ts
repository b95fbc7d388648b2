import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../base/errors.js";
import { StreamBudget } from "./stream-budget.js";

const tooMany = (error: unknown) => hasReason(error, "too-many-execs");

describe("StreamBudget", () => {
  it("keeps a part of the streams for the engine, however many the agent serves", () => {
    for (const streams of [32, 512, 2048]) {
      const budget = new StreamBudget(() => streams);
      const kinds = ["connections", "flows", "execs", "files", "inputs", "questions"] as const;
      const all = kinds.reduce((sum, kind) => sum + budget.most(kind), 0);
      assert.ok(all <= streams - streams / 8, `${all} of ${streams}`);
    }
    assert.equal(new StreamBudget(() => 2 ** 32 - 1).most("execs"), 384, "a guest's word is bounded");
  });

  it("gives a place back at once when its call ends, to whoever asked first", async () => {
    const budget = new StreamBudget(() => 12);
    const calls = Array.from({ length: 4 }, () => new AbortController());
    const [first, second, third, fourth] = calls.map(({ signal }) => budget.take("execs", signal));
    await first;
    await second;
    assert.equal(budget.open("execs"), 2);
    calls[1]?.abort();
    await third;
    assert.equal(budget.open("execs"), 2);
    calls[3]?.abort(new Error("left"));
    await assert.rejects(fourth ?? Promise.resolve(), { message: "left" });
    calls[0]?.abort();
    calls[2]?.abort();
    assert.equal(budget.open("execs"), 0);
  });

  it("refuses what would wait too long, and what too many wait for", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const budget = new StreamBudget(() => 6);
    const { signal } = new AbortController();
    await budget.take("execs", signal);
    const waiting = assert.rejects(budget.take("execs", signal), tooMany);
    await assert.rejects(budget.take("execs", signal), tooMany);
    t.mock.timers.tick(30_000);
    await waiting;
    assert.equal(budget.open("execs"), 1);
  });

  it("holds up no other kind", async () => {
    const budget = new StreamBudget(() => 6);
    const { signal } = new AbortController();
    for (let count = 0; count < budget.most("connections"); count++) await budget.take("connections", signal);
    await budget.take("execs", signal);
    assert.equal(budget.open("execs"), 1);
  });
});
