import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Finding, judgeFound } from "./found-vmm.js";
import type { VmState } from "./state.js";

describe("judgeFound", () => {
  const rows: [VmState, { sure: boolean; recordedLives: boolean; found: boolean }, Finding][] = [
    ["running", { sure: true, recordedLives: true, found: true }, "as-written"],
    ["starting", { sure: true, recordedLives: true, found: false }, "as-written"],
    ["running", { sure: true, recordedLives: false, found: false }, "gone"],
    ["running", { sure: true, recordedLives: false, found: true }, "unknown-vmm"],
    ["exited", { sure: true, recordedLives: false, found: false }, "as-written"],
    ["exited", { sure: true, recordedLives: false, found: true }, "unknown-vmm"],
    ["failed", { sure: false, recordedLives: false, found: true }, "unknown-vmm"],
    // A start that is on record as cut: nobody was told of it.
    ["starting", { sure: true, recordedLives: false, found: true }, "gone"],
    // The same, but who knows whether that was the last word.
    ["starting", { sure: false, recordedLives: false, found: true }, "unknown-vmm"],
  ];
  for (const [state, evidence, expected] of rows) {
    it(`${state}, ${JSON.stringify(evidence)}: ${expected}`, () => {
      assert.equal(judgeFound({ status: { state }, ...evidence }), expected);
    });
  }
});
