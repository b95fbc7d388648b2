import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import {
  configOf,
  createWorld,
  destroyWorld,
  type FakeVmm,
  startEngine,
  type World,
} from "../../../test/fixtures/fake-rooms.js";
import type { OpenEngine } from "../../../test/fixtures/open-engine.js";
import { hasReason } from "../../base/errors.js";
import { until } from "../common/notifier.js";
import { LIFETIME_OVER } from "./end.js";
import type { VmEntry } from "./entry.js";
import type { VmConfig } from "./vm-config.js";

const HOUR = 3_600_000;

let world: World;
let engine: OpenEngine;
beforeEach(async () => {
  world = await createWorld();
  engine = await startEngine(world);
});
afterEach(async () => {
  await engine.close();
  await destroyWorld(world);
});

async function started(config: Partial<VmConfig>): Promise<{ entry: VmEntry; vmm: FakeVmm }> {
  const entry = await engine.make({ config: configOf(config), pull: "missing" });
  await engine.vms.start(entry.id);
  const vmm = world.vmms.at(-1);
  assert.ok(vmm);
  return { entry, vmm };
}

/** kilnd ends, time passes, the next one starts. */
async function later(ms: number): Promise<VmEntry> {
  await engine.close();
  world.clockAheadMs += ms;
  engine = await startEngine(world);
  const [entry] = engine.entries(true);
  assert.ok(entry);
  return entry;
}

const ended = (entry: VmEntry) => engine.reached(entry, "exited");

describe("a lifetime", () => {
  it("stops the VM in order when it is over, whatever its policy says", async () => {
    const { entry } = await started({
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
    world.behaviours = [{ stubborn: true }];
    const { entry } = await started({ lifetimeMs: 1, stopTimeoutMs: 1 });
    const paused = await started({ lifetimeMs: HOUR });
    await engine.vms.pause(paused.entry.id);
    await ended(entry);
    assert.equal(entry.status.reason, LIFETIME_OVER);
    world.behaviours = [{}];
    world.clockAheadMs = HOUR;
    await engine.expire(paused.entry);
    assert.equal(paused.entry.status.reason, LIFETIME_OVER);
  });

  it("is counted from the start through a new kilnd, and over while none ran", async () => {
    const { entry } = await started({ lifetimeMs: HOUR });
    const { expiresAt } = entry.status;
    const same = await later(HOUR / 2);
    assert.deepEqual([same.state, same.status.expiresAt], ["running", expiresAt]);
    const over = await later(HOUR / 2);
    await ended(over);
    assert.equal(over.status.reason, LIFETIME_OVER);
  });

  it("is not made longer by a reboot or a crash, but by the user's own start", async () => {
    const { entry, vmm } = await started({
      lifetimeMs: HOUR,
      restart: { name: "on-failure", maximumRetryCount: 0 },
    });
    const { expiresAt } = entry.status;
    const boots = (count: number) =>
      until(entry.changed, () =>
        world.vmms.length === count && entry.state === "running" ? true : undefined,
      );
    world.clockAheadMs = HOUR / 2;
    vmm.guest.reboot();
    await boots(2);
    world.vmms[1]?.guest.exit(1);
    await boots(3);
    assert.equal(entry.status.expiresAt, expiresAt);
    await engine.vms.restart(entry.id);
    assert.ok(Date.parse(entry.status.expiresAt ?? "") > Date.parse(expiresAt ?? ""));
    await engine.expire(entry);
    assert.equal(entry.state, "running", "its time is not over any more");
  });

  it("keeps a crashed VM down once it is over", async () => {
    const { entry, vmm } = await started({
      lifetimeMs: HOUR,
      restart: { name: "always", maximumRetryCount: 0 },
    });
    world.clockAheadMs = HOUR;
    vmm.end("crashed");
    await ended(entry);
    assert.equal(entry.status.restartAt, undefined);
  });

  it("can be given, moved and taken away while the VM runs, and holds over a new kilnd", async () => {
    const { entry } = await started({});
    await engine.vms.setLifetime(entry.id, HOUR);
    const first = Date.parse(entry.status.expiresAt ?? "");
    world.clockAheadMs = HOUR / 2;
    await engine.vms.setLifetime(entry.id, HOUR);
    assert.ok(Date.parse(entry.status.expiresAt ?? "") >= first + HOUR / 2, "from now");
    const same = await later(HOUR / 2);
    assert.equal(same.state, "running");
    await engine.vms.setLifetime(same.id, 0);
    const kept = await later(10 * HOUR);
    assert.deepEqual([kept.state, kept.status.expiresAt], ["running", undefined]);
    await engine.vms.setLifetime(kept.id, 1);
    await ended(kept);
    assert.equal(kept.status.reason, LIFETIME_OVER);
  });

  it("of a VM that does not run counts from its start", async () => {
    const entry = await engine.make({ config: configOf({}), pull: "missing" });
    await engine.vms.setLifetime(entry.id, HOUR);
    assert.equal(entry.status.expiresAt, undefined);
    await engine.vms.start(entry.id);
    assert.ok(entry.status.expiresAt);
  });

  it("is refused where it is no time", async () => {
    for (const lifetimeMs of [-1, Number.NaN, 1e15]) {
      const creating = engine.make({ config: configOf({ lifetimeMs }), pull: "missing" });
      await assert.rejects(creating, (error) => hasReason(error, "bad-lifetime"));
      const { entry } = await started({});
      const changing = engine.vms.setLifetime(entry.id, lifetimeMs);
      await assert.rejects(changing, (error) => hasReason(error, "bad-lifetime"));
    }
  });
});
