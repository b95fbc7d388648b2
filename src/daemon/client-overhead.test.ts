import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { OverheadBudget, type Traffic } from "./client-overhead.js";

const MIB = 1024 ** 2;
const none: Traffic = { received: 0, sent: 0, payload: 0, calls: 0, unread: 0, acknowledged: 0 };

/** Looks four times a second at what grows by so much each time; the number of looks that were fine, up to `most`. */
function looks(step: Partial<Traffic>, most: number): number {
  const budget = new OverheadBudget();
  const sums = { ...none };
  for (let look = 0; look < most; look++) {
    for (const key of Object.keys(step) as (keyof Traffic)[]) sums[key] += step[key] ?? 0;
    if (!budget.allows({ ...sums }, 250)) return look;
  }
  return most;
}

describe("OverheadBudget", () => {
  const honest: [string, Partial<Traffic>][] = [
    ["an upload", { received: 100.2 * MIB, payload: 100 * MIB, sent: 50_000, calls: 1 }],
    ["an upload in frames of a few bytes", { received: 5 * MIB, payload: 3.9 * MIB, sent: 100_000 }],
    [
      "a download, each frame answered by two windows and a ping",
      { received: 43 * 5_000, sent: 16_393 * 5_000 },
    ],
    ["output of a byte a frame, answered so", { received: 43 * 9_000, sent: 10 * 9_000 }],
    ["calls without a message", { received: 300 * 5_000, calls: 5_000 }],
    ["uploads that are refused", { received: 20 * MIB, sent: 2_000, calls: 20, unread: 20 }],
    ["an idle client that pings", { received: 17 * 25, sent: 17 * 25, acknowledged: 17 * 25 }],
  ];
  for (const [what, step] of honest) {
    it(`lets ${what} go on for ever`, () => assert.equal(looks(step, 4 * 3600), 4 * 3600));
  }

  const floods: [string, Partial<Traffic>][] = [
    ["windows", { received: 13 * 500_000 }],
    ["pings, all of them answered", { received: 17 * MIB, sent: 17 * MIB, acknowledged: 17 * MIB }],
    ["a tenth of them", { received: 13 * 50_000 }],
  ];
  for (const [what, step] of floods) {
    it(`ends a flood of ${what} within seconds`, () => assert.ok(looks(step, 100) <= 12));
  }

  it("saves up no more than what may be on its way", () => {
    const budget = new OverheadBudget();
    assert.equal(budget.allows({ ...none, sent: 100_000 * MIB }, 3_600_000), true);
    assert.equal(budget.allows({ ...none, sent: 100_000 * MIB, received: 4.1 * MIB }, 250), false);
  });
});
