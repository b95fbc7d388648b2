import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Recent } from "./recent.js";

/** Numbers its findings, so that a kept one is told from a new one. */
function counted(now: () => number) {
  const recent = new Recent<number>(1000, now);
  let found = 0;
  return {
    get: (isWorth = true) =>
      recent.get(
        async () => ++found,
        () => isWorth,
      ),
    fail: () =>
      recent.get(
        () => Promise.reject(new Error(`no ${++found}`)),
        () => true,
      ),
  };
}

describe("Recent", () => {
  it("keeps what was found for its time, from when it was found", async () => {
    let now = 0;
    const { get } = counted(() => now);
    assert.equal(await get(), 1);
    now = 999;
    assert.equal(await get(), 1);
    now = 1000;
    assert.equal(await get(), 2);
  });

  it("is looked for once by all who ask together", async () => {
    const { get } = counted(() => 0);
    assert.deepEqual(await Promise.all([get(), get(), get()]), [1, 1, 1]);
  });

  it("keeps nothing that is not worth it, and no failure", async () => {
    const { get, fail } = counted(() => 0);
    assert.equal(await get(false), 1);
    assert.equal(await get(false), 2);
    await assert.rejects(fail(), /no 3/);
    await assert.rejects(fail(), /no 4/);
    assert.equal(await get(), 5);
  });
});
