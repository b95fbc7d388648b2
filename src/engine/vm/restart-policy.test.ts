import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { decideRestart, type Ended, nextDelay, startsWithDaemon } from "./restart-policy.js";
import type { RestartPolicy } from "./vm-config.js";

function policy(name: RestartPolicy["name"], maximumRetryCount = 0): RestartPolicy {
  return { name, maximumRetryCount };
}

function ended(over: Partial<Ended>): Ended {
  return {
    policy: policy("no"),
    exitCode: 0,
    restartCount: 0,
    stoppedByUser: false,
    ranMs: 1_000,
    previousDelayMs: 0,
    ...over,
  };
}

describe("decideRestart", () => {
  it("leaves a VM without a policy alone", () => {
    assert.deepEqual(decideRestart(ended({ exitCode: 1 })), { restart: false });
  });

  it("brings an always VM back whatever its exit code", () => {
    for (const exitCode of [0, 1, 137]) {
      assert.equal(decideRestart(ended({ policy: policy("always"), exitCode })).restart, true);
    }
  });

  it("brings an on-failure VM back only after a non-zero exit", () => {
    assert.equal(decideRestart(ended({ policy: policy("on-failure"), exitCode: 0 })).restart, false);
    assert.equal(decideRestart(ended({ policy: policy("on-failure"), exitCode: 1 })).restart, true);
  });

  it("gives an on-failure VM as many tries as were asked for", () => {
    const tries = (restartCount: number) =>
      decideRestart(ended({ policy: policy("on-failure", 2), exitCode: 1, restartCount })).restart;
    assert.deepEqual([tries(0), tries(1), tries(2), tries(3)], [true, true, false, false]);
  });

  it("never brings back what the user has stopped", () => {
    for (const name of ["on-failure", "always", "unless-stopped"] as const) {
      const verdict = decideRestart(ended({ policy: policy(name), exitCode: 1, stoppedByUser: true }));
      assert.equal(verdict.restart, false, name);
    }
  });
});

describe("nextDelay", () => {
  it("doubles from 100 ms to one minute", () => {
    const delays = [0];
    for (let n = 0; n < 12; n++) delays.push(nextDelay(delays.at(-1) ?? 0, 0));
    assert.deepEqual(
      delays.slice(1),
      [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000],
    );
  });

  it("begins anew once the VM has run for ten seconds", () => {
    assert.equal(nextDelay(25_600, 10_000), 100);
    assert.equal(nextDelay(25_600, 9_999), 51_200);
  });

  it("stays between 100 ms and one minute", () => {
    fc.assert(
      fc.property(fc.nat(120_000), fc.nat(), (previous, ran) => {
        const next = nextDelay(previous, ran);
        return next <= 60_000 && next >= Math.min(100, previous * 2 || 100);
      }),
    );
  });
});

describe("startsWithDaemon", () => {
  it("brings up always even if stopped, unless-stopped only if not, and nothing that never ran", () => {
    assert.equal(startsWithDaemon(policy("always"), true, true), true);
    assert.equal(startsWithDaemon(policy("unless-stopped"), true, true), false);
    assert.equal(startsWithDaemon(policy("unless-stopped"), true, false), true);
    assert.equal(startsWithDaemon(policy("on-failure"), true, false), false);
    assert.equal(startsWithDaemon(policy("always"), false, false), false);
  });
});
