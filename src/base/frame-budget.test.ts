import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FrameBudget, type FrameHead, FrameType } from "./frame-budget.js";

const WINDOW: FrameHead = { type: 8, flags: 0, stream: 0, length: 4 };
const data = (stream: number, length: number, flags = 0): FrameHead => ({
  type: FrameType.data,
  flags,
  stream,
  length,
});
const headers = (stream: number): FrameHead => ({ type: FrameType.headers, flags: 4, stream, length: 50 });

/** How many of these are taken, one after the other, up to `most`. */
function taken(budget: FrameBudget, frame: FrameHead, most: number): number {
  for (let count = 0; count < most; count++) if (!budget.received(frame)) return count;
  return most;
}

describe("FrameBudget", () => {
  it("takes some frames without a reason at once, and then so many a second", () => {
    let now = 0;
    const budget = new FrameBudget("ours", () => now);
    assert.equal(taken(budget, WINDOW, 1e6), 65_536);
    now += 2_000;
    assert.equal(taken(budget, WINDOW, 1e6), 2_000);
    now += 3_600_000;
    assert.equal(taken(budget, WINDOW, 1e6), 65_536, "and saves no more than that up");
  });

  it("takes windows for data of ours, however large or small its frames are", () => {
    for (const length of [1, 100, 16_384]) {
      const budget = new FrameBudget("theirs", () => 0);
      for (let sent = 0; sent < 200_000; sent++) {
        budget.sent(data(1, length));
        assert.ok(budget.received({ ...WINDOW, stream: 1 }) && budget.received(WINDOW));
        assert.ok(budget.received({ type: FrameType.ping, flags: 0, stream: 0, length: 8 }));
      }
    }
  });

  it("takes data of a call in frames of any size, and calls in any number", () => {
    const budget = new FrameBudget("ours", () => 0);
    budget.sent(headers(1));
    assert.equal(taken(budget, data(1, 1), 1e6), 1e6);
    for (let stream = 3; stream < 400_000; stream += 2) {
      budget.sent(headers(stream));
      assert.ok(budget.received(headers(stream)));
      assert.ok(budget.received(data(stream, 0, 1)));
    }
  });

  it("takes data of no call that is over for more than any other frame", () => {
    const ends: ((budget: FrameBudget) => unknown)[] = [
      (budget) => budget.received(data(1, 5, 1)),
      (budget) => budget.received({ ...headers(1), flags: 5 }),
      (budget) => budget.received({ type: FrameType.reset, flags: 0, stream: 1, length: 4 }),
      (budget) => budget.sent({ type: FrameType.reset, flags: 0, stream: 1, length: 4 }),
    ];
    for (const calls of ["ours", "theirs"] as const) {
      for (const end of ends) {
        const budget = new FrameBudget(calls, () => 0);
        if (calls === "ours") budget.sent(headers(1));
        else budget.received(headers(1));
        assert.equal(taken(budget, data(1, 1), 100_000), 100_000);
        end(budget);
        // Not begun again by headers that come late.
        budget.received(headers(1));
        assert.ok(taken(budget, data(1, 1), 100_000) < 66_000);
      }
    }
  });
});
