import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it, mock } from "node:test";
import { Alarm, LONGEST_TIMER_MS } from "./alarm.js";
import { delay } from "./runtime.js";

const DAY = 24 * 3_600_000;

let rung: string[];
let clock: number;
const now = () => clock;
const ring = (what: string) => () => void rung.push(what);
/** Passes time, as a timer and as the clock on the wall. */
const pass = (ms: number) => {
  clock += ms;
  mock.timers.tick(ms);
};

beforeEach(() => {
  rung = [];
  clock = 1_000;
  mock.timers.enable({ apis: ["setTimeout"] });
});
afterEach(() => mock.timers.reset());

describe("Alarm", () => {
  for (const [how, set] of [
    ["after a time", (alarm: Alarm) => alarm.after(60 * DAY, ring("now"))],
    ["at a time of a clock", (alarm: Alarm) => alarm.at(clock + 60 * DAY, now, ring("now"))],
  ] as const) {
    it(`rings once ${how} that no timer of Node can wait for`, () => {
      set(new Alarm());
      // From one of its timers to the next: those that are set within a tick count from its end.
      for (const ms of [LONGEST_TIMER_MS, LONGEST_TIMER_MS, 60 * DAY - 2 * LONGEST_TIMER_MS - 1]) pass(ms);
      assert.deepEqual(rung, []);
      pass(1);
      assert.deepEqual(rung, ["now"]);
      pass(60 * DAY);
      assert.deepEqual(rung, ["now"]);
    });
  }

  it("rings for what is past already, though not before its caller goes on", () => {
    const alarm = new Alarm();
    alarm.after(-5, ring("after"));
    const other = new Alarm();
    other.at(clock - 5, now, ring("at"));
    assert.deepEqual(rung, []);
    pass(1);
    assert.deepEqual(rung, ["after", "at"]);
  });

  it("forgets what it was set to where it is set anew or cleared", () => {
    const alarm = new Alarm();
    alarm.after(10, ring("first"));
    alarm.at(clock + 20, now, ring("second"));
    pass(30);
    assert.deepEqual(rung, ["second"]);
    alarm.after(10, ring("third"));
    alarm.clear();
    alarm.after(60 * DAY, ring("fourth"));
    pass(LONGEST_TIMER_MS);
    alarm.clear();
    pass(60 * DAY);
    assert.deepEqual(rung, ["second"]);
  });

  it("follows a clock that is set back, and one that only passes time does not", () => {
    const [at, after] = [new Alarm(), new Alarm()];
    at.at(clock + 100, now, ring("at"));
    after.after(100, ring("after"));
    clock -= 50;
    pass(100);
    assert.deepEqual(rung, ["after"]);
    pass(50);
    assert.deepEqual(rung, ["after", "at"]);
  });

  it("never rings after Infinity", () => {
    new Alarm().after(Number.POSITIVE_INFINITY, ring("never"));
    for (let count = 0; count < 5; count++) pass(LONGEST_TIMER_MS);
    assert.deepEqual(rung, []);
  });

  it("never asks for a timer that Node would take for 1 ms", (t) => {
    const set = t.mock.method(globalThis, "setTimeout");
    for (const ms of [2 ** 31, 2 ** 40, Number.POSITIVE_INFINITY]) {
      new Alarm().after(ms, ring("never"));
      new Alarm().at(clock + ms, now, ring("never"));
    }
    assert.deepEqual(
      set.mock.calls.map((call) => call.arguments[1]),
      Array(6).fill(LONGEST_TIMER_MS),
    );
  });
});

describe("delay", () => {
  it("lasts as long as it is asked to, and ends with its signal", async () => {
    const abort = new AbortController();
    const outcome = delay(2 ** 40, abort.signal).then(
      () => "over",
      (error: Error) => error.message,
    );
    void outcome.then((how) => rung.push(how));
    pass(30 * DAY);
    await new Promise(setImmediate);
    assert.deepEqual(rung, []);
    abort.abort(new Error("enough"));
    assert.equal(await outcome, "enough");
  });
});
