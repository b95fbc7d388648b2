import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ProgressUpdate } from "./progress.js";
import { deferred } from "./runtime.js";
import { SingleFlight } from "./single-flight.js";

describe("SingleFlight", () => {
  it("runs once for all who ask, and again afterwards", async () => {
    const work = new SingleFlight<number>();
    const gate = deferred<number>();
    let runs = 0;
    const body = () => {
      runs++;
      return gate.promise;
    };
    const both = Promise.all([work.run("k", {}, body), work.run("k", {}, body)]);
    gate.resolve(7);
    assert.deepEqual(await both, [7, 7]);
    assert.equal(runs, 1);
    await work.run("k", {}, body);
    assert.equal(runs, 2);
  });

  it("goes on while one still waits, and is given up with the last", async () => {
    const work = new SingleFlight<void>();
    let signal: AbortSignal | undefined;
    const undone = deferred<void>();
    const body = (own: AbortSignal) => {
      signal = own;
      return undone.promise;
    };
    const [first, second] = [new AbortController(), new AbortController()];
    const one = work.run("k", { signal: first.signal }, body);
    const two = work.run("k", { signal: second.signal }, body);
    first.abort(new Error("first"));
    await assert.rejects(one, { message: "first" });
    assert.equal(signal?.aborted, false);
    second.abort(new Error("second"));
    let told = false;
    const refused = assert.rejects(two, { message: "second" }).then(() => {
      told = true;
    });
    await new Promise(setImmediate);
    assert.equal(signal?.aborted, true);
    assert.equal(told, false, "the last one hears of it when all is undone");
    undone.resolve();
    await refused;
  });

  it("never joins a late-comer to work that was given up", async () => {
    const work = new SingleFlight<string>();
    const abort = new AbortController();
    const undone = deferred<string>();
    const first = work.run("k", { signal: abort.signal }, () => undone.promise);
    abort.abort(new Error("changed my mind"));
    await new Promise(setImmediate);
    assert.equal(await work.run("k", {}, async () => "fresh"), "fresh");
    undone.resolve("stale");
    await assert.rejects(first, /changed my mind/);
  });

  it("shows a late-comer where the work stands", async () => {
    const work = new SingleFlight<void>();
    const gate = deferred<void>();
    const seen: ProgressUpdate[] = [];
    const first = work.run("k", {}, async (_, onProgress) => {
      onProgress({ id: "layer", status: "extracting", current: 5 });
      await gate.promise;
      onProgress({ id: "layer", status: "done" });
    });
    const second = work.run("k", { onProgress: (update) => seen.push(update) }, async () => undefined);
    gate.resolve();
    await Promise.all([first, second]);
    assert.deepEqual(
      seen.map(({ status }) => status),
      ["extracting", "done"],
    );
  });

  it("gives everyone the failure", async () => {
    const work = new SingleFlight<void>();
    const body = async () => {
      throw new Error("no");
    };
    const results = await Promise.allSettled([work.run("k", {}, body), work.run("k", {}, body)]);
    assert.ok(results.every(({ status }) => status === "rejected"));
  });

  it("starts anew for who asks once it has ended, though another has not heard of it yet", async () => {
    const work = new SingleFlight<number>();
    let runs = 0;
    const body = async () => ++runs;
    assert.deepEqual(await Promise.all([work.run("k", {}, body), work.run("k", {}, body)]), [1, 1]);
    assert.equal(await work.run("k", {}, body), 2);
  });

  it("lets a watcher see its progress and its end, well or not, and ends with those for whom it runs", async () => {
    const work = new SingleFlight<void>();
    assert.equal(work.watch("k", {}), undefined, "there is nothing to watch");
    const gate = deferred<void>();
    const owner = new AbortController();
    const run = work.run("k", { signal: owner.signal }, async (signal, onProgress) => {
      onProgress({ id: "blob", status: "downloading" });
      await gate.promise;
      signal.throwIfAborted();
    });
    const seen: ProgressUpdate[] = [];
    const patient = work.watch("k", { onProgress: (update) => seen.push(update) });
    const impatient = new AbortController();
    const left = work.watch("k", { signal: impatient.signal });
    impatient.abort(new Error("enough"));
    await assert.rejects(Promise.resolve(left), { message: "enough" });
    owner.abort(new Error("the owner gave up"));
    gate.resolve();
    await assert.rejects(run, { message: "the owner gave up" });
    await patient;
    assert.deepEqual(
      seen.map(({ status }) => status),
      ["downloading"],
    );
  });
});
