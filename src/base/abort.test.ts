import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, it } from "node:test";
import { anySignal, onAbort, orAborted } from "./abort.js";
import { deferred } from "./runtime.js";

const WHY = new Error("enough");
const listeners = (signal: AbortSignal) => getEventListeners(signal, "abort").length;

describe("onAbort", () => {
  it("tells the reason once, and is no longer listening then", () => {
    const abort = new AbortController();
    const told: unknown[] = [];
    onAbort(abort.signal, (reason) => told.push(reason));
    assert.deepEqual(told, []);
    abort.abort(WHY);
    assert.deepEqual(told, [WHY]);
    assert.equal(listeners(abort.signal), 0);
  });

  it("tells at once where the signal has aborted", () => {
    const told: unknown[] = [];
    onAbort(AbortSignal.abort(WHY), (reason) => told.push(reason));
    assert.deepEqual(told, [WHY]);
  });

  it("says nothing and leaves nothing behind once it is disposed of", () => {
    const abort = new AbortController();
    {
      using _ = onAbort(abort.signal, () => assert.fail("nobody listens any more"));
      assert.equal(listeners(abort.signal), 1);
    }
    assert.equal(listeners(abort.signal), 0);
    abort.abort();
  });

  it("takes that there is no signal", () => {
    using listening = onAbort(undefined, () => assert.fail("there is none"));
    assert.ok(listening);
  });
});

describe("orAborted", () => {
  it("gives the promise's outcome, and listens no more", async () => {
    const { signal } = new AbortController();
    assert.equal(await orAborted(Promise.resolve(1), signal), 1);
    await assert.rejects(orAborted(Promise.reject(WHY), signal), WHY);
    assert.equal(await orAborted(Promise.resolve(2), undefined), 2);
    assert.equal(listeners(signal), 0);
  });

  it("rejects with the reason, or with what is made of it", async () => {
    const never = deferred<void>().promise;
    await assert.rejects(orAborted(never, AbortSignal.abort(WHY)), WHY);
    const abort = new AbortController();
    const waiting = orAborted(never, abort.signal, ({ reason }) => new Error("given up", { cause: reason }));
    abort.abort(WHY);
    await assert.rejects(waiting, { message: "given up", cause: WHY });
  });

  it("hears a failure that comes too late", async () => {
    const late = deferred<void>();
    await assert.rejects(orAborted(late.promise, AbortSignal.abort(WHY)), WHY);
    late.reject(new Error("nobody waits: must not end the process"));
    await assert.rejects(late.promise);
  });
});

describe("anySignal", () => {
  it("aborts with whichever does first, and needs no second one", () => {
    const one = new AbortController();
    assert.equal(anySignal(one.signal, undefined), one.signal);
    const two = new AbortController();
    const either = anySignal(one.signal, undefined, two.signal);
    two.abort(WHY);
    assert.equal(either.reason, WHY);
  });
});
