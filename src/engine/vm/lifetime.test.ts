import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import { hasReason } from "../../base/errors.js";
import { until } from "../common/notifier.js";
import { LIFETIME_OVER } from "./end.js";
import type { VmEntry } from "./entry.js";

const HOUR = 3_600_000;

const kilnd = engineCase();

/** kilnd ends, time passes, the next one starts. */
async function later(ms: number): Promise<VmEntry> {
  await kilnd.engine.close();
  kilnd.world.clockAheadMs += ms;
  await kilnd.start();
  const [entry] = kilnd.engine.entries(true);
  assert.ok(entry);
  return entry;
}

const ended = (entry: VmEntry) => kilnd.engine.reached(entry, "exited");

describe("a lifetime", () => {
  it("stops the VM in order when it is over, whatever its policy says", async () => {
    const { entry } = await kilnd.running({
      lifetimeMs: 1,
      restart: { name: "always", maximumRetryCount: 0 },
    });
    await ended(entry);
    const { state, reason, message, restartAt, exitCode } = entry.status;
    assert.deepEqual([state, reason, message], ["exited", LIFETIME_OVER, "its lifetime is over"]);
    assert.deepEqual([restartAt, exitCode], [undefined, 143], "its program was asked to end");
    assert.equal((await later(0)).state, "exited");
  });

  it("takes a VM along whose guest does not stop, and a paused one", async () => {
    kilnd.world.behaviours = [{ stubborn: true }];
    const { entry } = await kilnd.running({ lifetimeMs: 1, stopTimeoutMs: 1 });
    const paused = await kilnd.running({ lifetimeMs: HOUR });
    await kilnd.engine.vms.pause(paused.entry.id);
    await ended(entry);
    assert.equal(entry.status.reason, LIFETIME_OVER);
    kilnd.world.behaviours = [{}];
    kilnd.world.clockAheadMs = HOUR;
    await kilnd.engine.expire(paused.entry);
    assert.equal(paused.entry.status.reason, LIFETIME_OVER);
  });

  it("is counted from the start through a new kilnd, and over while none ran", async () => {
    const { entry } = await kilnd.running({ lifetimeMs: HOUR });
    const { expiresAt } = entry.status;
    const same = await later(HOUR / 2);
    assert.deepEqual([same.state, same.status.expiresAt], ["running", expiresAt]);
    const over = await later(HOUR / 2);
    await ended(over);
    assert.equal(over.status.reason, LIFETIME_OVER);
  });

  it("is not made longer by a reboot or a crash, but by the user's own start", async () => {
    const { entry, vmm } = await kilnd.running({
      lifetimeMs: HOUR,
      restart: { name: "on-failure", maximumRetryCount: 0 },
    });
    const { expiresAt } = entry.status;
    const boots = (count: number) =>
      until(entry.changed, () =>
        kilnd.world.vmms.length === count && entry.state === "running" ? true : undefined,
      );
    kilnd.world.clockAheadMs = HOUR / 2;
    vmm.guest.reboot();
    await boots(2);
    kilnd.world.vmms[1]?.guest.exit(1);
    await boots(3);
    assert.equal(entry.status.expiresAt, expiresAt);
    await kilnd.engine.vms.restart(entry.id);
    assert.ok(Date.parse(entry.status.expiresAt ?? "") > Date.parse(expiresAt ?? ""));
    await kilnd.engine.expire(entry);
    assert.equal(entry.state, "running", "its time is not over any more");
  });

  it("keeps a crashed VM down once it is over", async () => {
    const { entry, vmm } = await kilnd.running({
      lifetimeMs: HOUR,
      restart: { name: "always", maximumRetryCount: 0 },
    });
    kilnd.world.clockAheadMs = HOUR;
    vmm.end("crashed");
    await ended(entry);
    assert.equal(entry.status.restartAt, undefined);
  });

  it("can be given, moved and taken away while the VM runs, and holds over a new kilnd", async () => {
    const { entry } = await kilnd.running({});
    await kilnd.engine.vms.setLifetime(entry.id, HOUR);
    const first = Date.parse(entry.status.expiresAt ?? "");
    kilnd.world.clockAheadMs = HOUR / 2;
    await kilnd.engine.vms.setLifetime(entry.id, HOUR);
    assert.ok(Date.parse(entry.status.expiresAt ?? "") >= first + HOUR / 2, "from now");
    const same = await later(HOUR / 2);
    assert.equal(same.state, "running");
    await kilnd.engine.vms.setLifetime(same.id, 0);
    const kept = await later(10 * HOUR);
    assert.deepEqual([kept.state, kept.status.expiresAt], ["running", undefined]);
    await kilnd.engine.vms.setLifetime(kept.id, 1);
    await ended(kept);
    assert.equal(kept.status.reason, LIFETIME_OVER);
  });

  it("of a VM that does not run counts from its start", async () => {
    const entry = await kilnd.create();
    await kilnd.engine.vms.setLifetime(entry.id, HOUR);
    assert.equal(entry.status.expiresAt, undefined);
    await kilnd.engine.vms.start(entry.id);
    assert.ok(entry.status.expiresAt);
  });

  it("is refused where it is no time", async () => {
    for (const lifetimeMs of [-1, Number.NaN, 1e15]) {
      const creating = kilnd.create({ lifetimeMs });
      await assert.rejects(creating, (error) => hasReason(error, "bad-lifetime"));
      const { entry } = await kilnd.running({});
      const changing = kilnd.engine.vms.setLifetime(entry.id, lifetimeMs);
      await assert.rejects(changing, (error) => hasReason(error, "bad-lifetime"));
    }
  });
});
