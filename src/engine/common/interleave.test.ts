import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { collectGarbage } from "../../../test/fixtures/collect-garbage.js";
import { interleave } from "./interleave.js";
import { Notifier } from "./notifier.js";

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

async function* numbers(count: number): AsyncGenerator<number> {
  for (let i = 0; i < count; i++) {
    await turn();
    yield i;
  }
}

describe("interleave", () => {
  it("puts what there is to say before the next item, in order", async () => {
    const changed = new Notifier();
    const words = [100];
    const seen: number[] = [];
    for await (const item of interleave(numbers(3), [changed], () => words.shift())) {
      seen.push(item);
      if (item === 1) words.push(200);
    }
    assert.deepEqual(seen, [100, 0, 1, 200, 2]);
  });

  it("says what has changed while the source has nothing", async () => {
    const changed = new Notifier();
    let word: number | undefined;
    let end: () => void = () => undefined;
    async function* silent(): AsyncGenerator<number> {
      await new Promise<void>((resolve) => {
        end = resolve;
      });
    }
    const both = interleave(silent(), [new Notifier(), changed], () => {
      const now = word;
      word = undefined;
      return now;
    });
    const first = both.next();
    await turn();
    word = 7;
    changed.notify();
    assert.deepEqual(await first, { done: false, value: 7 });
    const last = both.next();
    end();
    assert.deepEqual(await last, { done: true, value: undefined });
  });

  it("throws what the source throws", async () => {
    async function* broken(): AsyncGenerator<number> {
      yield 1;
      throw new Error("the peer went");
    }
    const items = interleave(broken(), [new Notifier()], () => undefined);
    assert.deepEqual(await items.next(), { done: false, value: 1 });
    await assert.rejects(items.next(), /the peer went/);
  });

  // A race of each item against a promise that stays open kept them all: kilnd grew by every byte of an exec's output.
  it("keeps no item that has gone", async () => {
    const changed = new Notifier();
    const refs: WeakRef<object>[] = [];
    async function* objects(): AsyncGenerator<{ data: Uint8Array }> {
      for await (const _ of numbers(500)) {
        const item = { data: new Uint8Array(1024) };
        refs.push(new WeakRef(item));
        yield item;
      }
    }
    const items = interleave(objects(), [changed], () => undefined);
    for (let i = 0; i < 400; i++) await items.next();
    await turn();
    collectGarbage();
    const alive = refs.filter((ref) => ref.deref() !== undefined).length;
    await items.return(undefined);
    assert.ok(alive < 10, `${alive} of ${refs.length} items are held`);
  });
});
