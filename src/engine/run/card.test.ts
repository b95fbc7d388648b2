import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import type { FakeVmm } from "../../../test/fixtures/fake-rooms.js";
import { Code, KilnError } from "../../base/errors.js";
import type { VmEntry } from "../vm/entry.js";

const kilnd = engineCase();

async function running(network: "user" | "none" = "user"): Promise<{ entry: VmEntry; vmm: FakeVmm }> {
  const entry = await kilnd.create({ network });
  await kilnd.engine.vms.start(entry.id);
  const vmm = kilnd.world.vmms.at(-1);
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
    await kilnd.engine.vms.stop(entry.id);
    assert.deepEqual(kilnd.world.network, ["connected", "lost", "ended"]);
    assert.equal(vmm.cardListeners.size, 0);
  });

  it("is let go of by a kilnd that goes, and adopted by the next one", async () => {
    const { entry } = await running();
    await kilnd.engine.close();
    assert.deepEqual(kilnd.world.network, ["connected", "detached"]);
    await kilnd.start();
    await kilnd.engine.vms.kill(entry.id);
    assert.deepEqual(kilnd.world.network, ["connected", "detached", "adopted", "ended"]);
  });

  it("is let go of by a kilnd whose other VM can't be", async () => {
    const { vmm } = await running();
    const { entry } = await kilnd.running({ network: "none" });
    const { handle } = entry.live ?? assert.fail();
    handle.detach = () => Promise.reject(new Error("no space left on device"));
    await kilnd.engine.close();
    assert.deepEqual([kilnd.world.network, vmm.cardListeners.size], [["connected", "detached"], 0]);
    assert.match(kilnd.world.logged.join(""), /can't be let go of in order.*no space left/);
  });

  it("fails the start where it can't be had, and nothing is left", async () => {
    kilnd.world.networkError = new KilnError(Code.Unavailable, "no passt", { reason: "user-network-failed" });
    const entry = await kilnd.create({ network: "user" });
    await assert.rejects(kilnd.engine.vms.start(entry.id), /no passt/);
    assert.equal(entry.state, "failed");
    assert.deepEqual([kilnd.world.network, kilnd.world.vmms.filter(({ alive }) => alive)], [[], []]);
  });

  it("is ended where the start fails after it", async () => {
    kilnd.world.behaviours = [{ hangs: true }];
    await kilnd.next({ helloTimeoutMs: { kvm: 20, tcg: 20 } });
    const entry = await kilnd.create({ network: "user" });
    await assert.rejects(kilnd.engine.vms.start(entry.id));
    assert.deepEqual(kilnd.world.network, ["connected", "ended", "connected", "ended"], "for each attempt");
  });

  it("is none for a VM without a card", async () => {
    const { entry } = await running("none");
    await kilnd.engine.vms.stop(entry.id);
    assert.deepEqual(kilnd.world.network, []);
  });

  it("is adopted late where the VMM answers late, and not at all where its network is its own", async () => {
    const { entry, vmm } = await running();
    await kilnd.engine.close();
    // As the first releases started it.
    Object.assign(vmm.spec, { cards: [] });
    await kilnd.start();
    await kilnd.engine.vms.kill(entry.id);
    assert.deepEqual(kilnd.world.network, ["connected", "detached"]);
  });
});
