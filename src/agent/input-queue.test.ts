import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { InputQueue } from "./input-queue.js";

describe("input queue", () => {
  it("keeps the order and ends after what was pushed", async () => {
    const queue = new InputQueue<number>();
    void queue.push(1);
    void queue.push(2);
    queue.end();
    const seen: number[] = [];
    for await (const item of queue) seen.push(item);
    assert.deepEqual(seen, [1, 2]);
  });

  it("lets the pushing side go on only when the reader asks for more", async () => {
    const queue = new InputQueue<number>();
    let taken = false;
    const pushed = queue.push(1).then(() => {
      taken = true;
    });
    const reader = queue[Symbol.asyncIterator]();
    assert.equal((await reader.next()).value, 1);
    assert.equal(taken, false);
    const next = reader.next();
    await pushed;
    queue.end();
    assert.equal((await next).done, true);
  });

  it("lets everybody go when its reader leaves", async () => {
    const queue = new InputQueue<number>();
    const pushed = [queue.push(1), queue.push(2)];
    for await (const _ of queue) break;
    await Promise.all(pushed);
    await queue.push(3);
  });
});
