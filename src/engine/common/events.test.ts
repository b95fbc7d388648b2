import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { runWatched } from "../../../test/fixtures/watchdog.js";
import { EventLog, type KilnEvent, type ReadEventsOptions } from "./events.js";

function emit(log: EventLog, ...actions: string[]): void {
  for (const action of actions) log.emit({ type: "vm", action, id: "x", attributes: {} });
}

async function take(log: EventLog, count: number, options: ReadEventsOptions): Promise<KilnEvent[]> {
  const events: KilnEvent[] = [];
  for await (const event of log.read(options)) {
    events.push(event);
    if (events.length === count) break;
  }
  return events;
}

const actionsOf = (events: readonly KilnEvent[]) => events.map((event) => event.action);

describe("EventLog", () => {
  it("gives what comes from now on, in order", async () => {
    const log = new EventLog();
    emit(log, "before");
    const reading = take(log, 2, {});
    await new Promise((resolve) => setImmediate(resolve));
    emit(log, "one", "two");
    assert.deepEqual(actionsOf(await reading), ["one", "two"]);
  });

  it("goes on after a cursor without a gap or a repeat", async () => {
    const log = new EventLog();
    emit(log, "one", "two", "three");
    const [first] = await take(log, 1, { sinceMs: 0 });
    assert.deepEqual(actionsOf(await take(log, 2, { after: first?.cursor })), ["two", "three"]);
  });

  it("tells a reader that comes back too late that events are gone", async () => {
    let now = 1000;
    const log = new EventLog(() => now);
    emit(log, "old");
    const cursor = (await take(log, 1, { sinceMs: 0 }))[0]?.cursor;
    now = 2000;
    for (let n = 0; n < 5000; n++) emit(log, `n${n}`);
    const [lost, next] = await take(log, 2, { after: cursor });
    assert.deepEqual([lost?.type, lost?.action], ["system", "events-lost"]);
    assert.equal(next?.action, "n904");
  });

  it("numbers the events of a later daemon after those of an earlier one", async () => {
    const first = new EventLog(() => 1000);
    emit(first, "a");
    const second = new EventLog(() => 1001);
    emit(second, "b");
    const [a] = await take(first, 1, { sinceMs: 0 });
    const [b] = await take(second, 1, { sinceMs: 0 });
    assert.ok((b?.cursor ?? 0n) > (a?.cursor ?? 0n));
  });

  it("selects by time and ends at `until`", async () => {
    let now = 1000;
    const log = new EventLog(() => now);
    emit(log, "one");
    now = 2000;
    emit(log, "two");
    now = 3000;
    emit(log, "three");
    assert.deepEqual(actionsOf(await take(log, 9, { sinceMs: 1500, untilMs: 2500 })), ["two"]);
  });

  it("ends when its reader goes away", async () => {
    const log = new EventLog();
    const abort = new AbortController();
    const reading = take(log, 1, { signal: abort.signal });
    abort.abort(new Error("gone"));
    await assert.rejects(reading, { message: "gone" });
  });

  it("ends at `until` where nothing has happened yet", async () => {
    const log = new EventLog(() => 1000);
    assert.deepEqual(await take(log, 1, { untilMs: 1000 }), []);
    const [lost] = await take(log, 2, { after: 5n, untilMs: 1000 });
    assert.equal(lost?.action, "events-lost");
  });

  it("tells a reader that was too slow that events are gone", async () => {
    const log = new EventLog();
    emit(log, "one");
    const reading = log.read({ sinceMs: 0 });
    await reading.next();
    for (let n = 0; n < 5000; n++) emit(log, `n${n}`);
    const next = await reading.next();
    await reading.return(undefined);
    assert.equal(next.value?.action, "events-lost");
  });

  it("spins at no cursor and no time", async () => {
    const [readers, waiting] = await runWatched("watched/event-cursors.js");
    assert.match(readers ?? "", /^\d{4} readers$/);
    assert.equal(waiting, "some wait");
  });
});
