import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { keepOpen } from "./keep-open.js";

describe("keepOpen", () => {
  it("opens again what ends at once or can't be opened, ever more seldom, until it is left", async () => {
    const leaving = new AbortController();
    const pauses: number[] = [];
    let opened = 0;
    const broken = { closed: Promise.resolve() };
    const open = async () => {
      if (opened++ % 2 === 0) throw new Error("nobody listens");
      return broken;
    };
    await keepOpen(broken, open, leaving.signal, async (ms) => {
      pauses.push(ms);
      if (pauses.length === 12) leaving.abort();
    });
    assert.deepEqual(pauses.slice(0, 4), [100, 200, 400, 800]);
    assert.deepEqual(pauses.slice(-3), [30_000, 30_000, 30_000]);
    assert.equal(opened, 11);
  });
});
