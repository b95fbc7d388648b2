import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import { hasReason } from "../../base/errors.js";
import { type Intent, LIFETIME_OVER } from "../vm/end.js";
import type { VmEntry } from "../vm/entry.js";
import { isBooting } from "../vm/run-view.js";
import { Run } from "./run.js";

let entry: VmEntry;
const kilnd = engineCase();
beforeEach(async () => {
  entry = await kilnd.create();
});

/** What a run is wanted to do after these, in order. */
function wanted(...intents: Exclude<Intent, "run">[]): Intent {
  const run = Run.begin(entry, "start");
  for (const intent of intents) run.want(intent);
  return run.intent;
}

describe("what is wanted of a run", () => {
  it("only goes up: run, stop, expire, kill", () => {
    assert.equal(wanted(), "run");
    assert.equal(wanted("stop"), "stop");
    assert.equal(wanted("stop", "expire"), "expire");
    assert.equal(wanted("expire", "stop"), "expire");
    assert.equal(wanted("kill", "stop", "expire"), "kill");
  });

  it("is the guest's own end only where nobody else wants one, and then the first of its ends", () => {
    assert.equal(wanted("halted", "lost"), "halted");
    assert.equal(wanted("lost", "stop"), "stop");
    assert.equal(wanted("kill", "halted"), "kill");
    const run = Run.begin(entry, "start");
    run.want("lost", "it says nonsense");
    run.want("halted");
    assert.deepEqual([run.intent, run.why, run.signal.aborted], ["lost", "it says nonsense", false]);
  });

  it("gives up its boot, with the reason of the first who wanted its end", () => {
    const [stopped, expired] = [Run.begin(entry, "start"), Run.begin(entry, "start")];
    stopped.want("stop");
    expired.want("expire");
    expired.want("kill");
    assert.ok(hasReason(stopped.signal.reason, "killed"));
    assert.ok(hasReason(expired.signal.reason, LIFETIME_OVER));
  });

  it("is what the last kilnd was asked for where a VM is taken over, and can be asked for again", async () => {
    await entry.note({ stoppedByUser: true });
    assert.equal(Run.begin(entry, "start").intent, "run", "a start is asked for anew");
    const run = Run.begin(entry, "takeover");
    assert.deepEqual(
      [run.intent, run.signal.aborted],
      ["stop", false],
      "nothing is given up for an old wish",
    );
    run.want("stop");
    assert.equal(run.signal.aborted, true);
  });
});

describe("a run", () => {
  it("is its VM's from the moment that it begins, and does not take the place of the next one", () => {
    let changes = 0;
    const noted = entry.changed.next().then(() => changes++);
    const first = Run.begin(entry, "start");
    assert.equal(entry.run, first);
    assert.equal(isBooting(entry.run), true);
    const next = Run.begin(entry, "reboot");
    first.leave();
    assert.equal(entry.run, next);
    next.leave();
    assert.deepEqual([entry.run, entry.live], [undefined, undefined]);
    return noted.then(() => assert.equal(changes, 1));
  });

  it("of a VM that is taken over boots only once its VMM is ours", () => {
    const run = Run.begin(entry, "takeover");
    assert.deepEqual([run.stage, isBooting(run)], ["reach", false]);
    run.enter("hello");
    assert.deepEqual([run.stage, isBooting(run)], ["hello", true]);
  });
});
