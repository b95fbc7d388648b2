import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason, KilnError } from "../../base/errors.js";
import { KeyedLock } from "../../base/lock.js";
import { type Deferred, deferred } from "../../base/runtime.js";
import { Entry } from "./entry.js";

interface Asked {
  readonly name: string;
}
interface Is {
  state: string;
  exit?: number;
  at?: string;
}

/** Files whose writes end when the test says so. */
class SlowFiles {
  readonly written: string[] = [];
  readonly pending: Deferred<void>[] = [];

  saveRecord(id: string, record: Asked): Promise<void> {
    return this.#write(`${id} ${record.name}`);
  }

  saveStatus(id: string, status: Is, durable: boolean): Promise<void> {
    return this.#write(`${id} ${status.state}${status.exit ?? ""}${durable ? "!" : ""}`);
  }

  async #write(text: string): Promise<void> {
    const turn = deferred<void>();
    this.pending.push(turn);
    await turn.promise;
    this.written.push(text);
  }
}

function make(files: SlowFiles, recordFlaw?: string): Entry<Asked, Is> {
  const kind = {
    ...{ noun: "thing", recordFile: "thing.json", files, lock: new KeyedLock() },
    nameOf: ({ name }: Asked) => name,
  };
  return new Entry(kind, { id: "i", record: { name: "web" }, status: { state: "created" }, recordFlaw });
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("an entry", () => {
  it("changes in memory at once and wakes who waits; the writes follow one by one, in order", async () => {
    const files = new SlowFiles();
    const entry = make(files);
    const woken = entry.changed.next();
    const writes = [
      entry.note({ state: "running", exit: 1 }),
      entry.forget("exit"),
      entry.setRecord({ name: "db" }),
    ];
    assert.deepEqual([entry.status, entry.name], [{ state: "running" }, "db"]);
    await woken;
    writes.push(entry.note({ state: "ended" }, true));
    for (let begun = 1; begun <= 4; begun++) {
      await turn();
      assert.equal(files.pending.length, begun, "one at a time");
      files.pending.at(-1)?.resolve();
    }
    await Promise.all(writes);
    assert.deepEqual(files.written, ["i running1", "i running", "i db", "i ended!"]);
  });

  it("is settled when all is written, be it that a write failed; the next one is tried", async () => {
    const files = new SlowFiles();
    const entry = make(files);
    const failing = entry.note({ state: "running" });
    const next = entry.note({ state: "ended" });
    await turn();
    files.pending[0]?.reject(new Error("full"));
    await assert.rejects(failing, /full/);
    await turn();
    files.pending[1]?.resolve();
    await next;
    await entry.settled();
    assert.deepEqual(files.written, ["i ended"]);
  });

  it("keeps its record where another can't be written", async () => {
    const files = new SlowFiles();
    const entry = make(files);
    const changing = entry.setRecord({ name: "db" });
    await turn();
    const woken = entry.changed.next();
    files.pending[0]?.reject(new Error("full"));
    await assert.rejects(changing, /full/);
    await woken;
    assert.equal(entry.name, "web");
  });

  it("writes nothing any more once its removal has begun, and takes no new record", async () => {
    const files = new SlowFiles();
    const entry = make(files);
    const before = entry.note({ state: "running" });
    await turn();
    entry.removing = true;
    const after = entry.note({ state: "ended" });
    files.pending[0]?.resolve();
    await assert.rejects(entry.setRecord({ name: "db" }), (error) => hasReason(error, "thing-not-found"));
    await Promise.all([before, after, entry.settled()]);
    assert.equal(entry.name, "web");
    assert.deepEqual(files.written, ["i running"]);
    assert.equal(entry.status.state, "ended");
  });

  it("with a flaw is not written over, and says what to do", async () => {
    const files = new SlowFiles();
    const entry = make(files, "its record is lost");
    await assert.rejects(entry.setRecord({ name: "db" }), (error) => {
      assert.ok(error instanceof KilnError);
      assert.equal(error.message, "cannot change thing web: its record is lost");
      return hasReason(error, "record-damaged") && (error.hint ?? "").includes("thing.json");
    });
    assert.deepEqual([entry.name, files.pending.length], ["web", 0]);
    const noting = entry.note({ state: "running" });
    await turn();
    files.pending[0]?.resolve();
    await noting;
    make(files).requireRecord("start");
  });

  it("lets one change at a time in", async () => {
    const entry = make(new SlowFiles());
    const first = deferred<void>();
    const order: string[] = [];
    const running = [
      entry.locked(async () => {
        await first.promise;
        order.push("first");
      }),
      entry.locked(async () => order.push("second")),
    ];
    await turn();
    assert.deepEqual(order, []);
    first.resolve();
    await Promise.all(running);
    assert.deepEqual(order, ["first", "second"]);
  });
});
