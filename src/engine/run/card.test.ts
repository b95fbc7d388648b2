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
import { Code, KilnError } from "../../base/errors.js";
import type { VmEntry } from "../vm/entry.js";

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

async function running(network: "user" | "none" = "user"): Promise<{ entry: VmEntry; vmm: FakeVmm }> {
  const entry = await engine.make({ config: configOf({ network }), pull: "missing" });
  await engine.vms.start(entry.id);
  const vmm = world.vmms.at(-1);
  assert.ok(vmm);
  return { entry, vmm };
}

describe("what a VM's card is connected to", () => {
  it("comes with the VMM, hears that it is lost, and ends with the VM", async () => {
    const { entry, vmm } = await running();
    assert.deepEqual(
      vmm.spec.cards.map(({ mac, backend }) => [mac, backend.kind]),
      [["02:00:00:00:00:01", "stream"]],
    );
    assert.equal(entry.status.ipAddress, "10.0.2.15");
    for (const listener of vmm.cardListeners) listener();
    await engine.vms.stop(entry.id);
    assert.deepEqual(world.network, ["connected", "lost", "ended"]);
    assert.equal(vmm.cardListeners.size, 0);
  });

  it("is let go of by a kilnd that goes, and adopted by the next one", async () => {
    const { entry } = await running();
    await engine.close();
    assert.deepEqual(world.network, ["connected", "detached"]);
    engine = await startEngine(world);
    await engine.vms.kill(entry.id);
    assert.deepEqual(world.network, ["connected", "detached", "adopted", "ended"]);
  });

  it("fails the start where it can't be had, and nothing is left", async () => {
    world.networkError = new KilnError(Code.Unavailable, "no passt", { reason: "user-network-failed" });
    const entry = await engine.make({ config: configOf({ network: "user" }), pull: "missing" });
    await assert.rejects(engine.vms.start(entry.id), /no passt/);
    assert.equal(entry.state, "failed");
    assert.deepEqual([world.network, world.vmms.filter(({ alive }) => alive)], [[], []]);
  });

  it("is ended where the start fails after it", async () => {
    world.behaviours = [{ hangs: true }];
    await engine.close();
    engine = await startEngine(world, { helloTimeoutMs: { kvm: 20, tcg: 20 } });
    const entry = await engine.make({ config: configOf({ network: "user" }), pull: "missing" });
    await assert.rejects(engine.vms.start(entry.id));
    assert.deepEqual(world.network, ["connected", "ended", "connected", "ended"], "for each attempt");
  });

  it("is none for a VM without a card", async () => {
    const { entry } = await running("none");
    await engine.vms.stop(entry.id);
    assert.deepEqual(world.network, []);
  });

  it("is adopted late where the VMM answers late, and not at all where its network is its own", async () => {
    const { entry, vmm } = await running();
    await engine.close();
    // As the first releases started it.
    Object.assign(vmm.spec, { cards: [] });
    engine = await startEngine(world);
    await engine.vms.kill(entry.id);
    assert.deepEqual(world.network, ["connected", "detached"]);
  });
});
