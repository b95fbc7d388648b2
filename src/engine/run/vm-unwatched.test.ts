// VMs whose state is live while nobody watches them: for a moment at their end, or because a takeover failed.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import type { FakeVmm } from "../../../test/fixtures/fake-rooms.js";
import { Code, KilnError } from "../../base/errors.js";
import { deferred } from "../../base/runtime.js";
import type { VmEntry } from "../vm/entry.js";
import { LiveVm } from "./live-vm.js";
import { runningSession } from "./vm-access.js";

const kilnd = engineCase();

async function started(): Promise<{ entry: VmEntry; vmm: FakeVmm }> {
  const entry = await kilnd.create();
  await kilnd.engine.vms.start(entry.id);
  const vmm = kilnd.world.vmms.at(-1);
  assert.ok(vmm);
  return { entry, vmm };
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe("a VM at its end", () => {
  it("is killed without a spin while its last output is still being written", async () => {
    const { entry, vmm } = await started();
    const [atIt, written] = [deferred<void>(), deferred<void>()];
    const end = entry.log.end.bind(entry.log);
    entry.log.end = async () => {
      atIt.resolve();
      await written.promise;
      await end();
    };
    vmm.end("guest-shutdown");
    await atIt.promise;
    const killed = kilnd.engine.vms.kill(entry.id);
    for (let i = 0; i < 10; i++) await turn(); // a loop without I/O would let none of them come
    written.resolve();
    await killed;
    assert.equal(entry.state, "exited");
    assert.equal(entry.live, undefined);
  });

  it("has ended, whatever its driver throws at the end", async () => {
    const { entry, vmm } = await started();
    const { live } = entry;
    assert.ok(live instanceof LiveVm);
    const release = live.release.bind(live);
    live.release = async () => {
      await release();
      throw new Error("too many open files");
    };
    vmm.end("guest-shutdown");
    await kilnd.engine.reached(entry, "exited");
    assert.equal(entry.state, "failed");
    assert.match(entry.status.message, /too many open files/);
    await kilnd.engine.vms.remove(entry.id, true);
  });
});

describe("a VM that kilnd could not take over", () => {
  it("is neither called ended nor removed", async () => {
    const { entry } = await started();
    const { run } = entry;
    entry.run = undefined;
    const refused = { reason: "vmm-unreachable", message: /kilnd has not taken it over/ };
    await assert.rejects(kilnd.engine.vms.stop(entry.id), refused);
    await assert.rejects(kilnd.engine.vms.remove(entry.id, true), refused);
    assert.equal(entry.state, "running");
    entry.run = run;
    await kilnd.engine.vms.kill(entry.id);
    assert.equal(entry.state, "exited");
  });

  it("says to an exec why its VMM can't be spoken to", async () => {
    const { entry } = await started();
    await entry.note({ reason: "vmm-unreachable", message: "it runs, but qmp.sock: no such file" });
    assert.ok(entry.live);
    const silent = new KilnError(Code.Unavailable, "no answer", { reason: "agent-unreachable" });
    entry.live.link.session = () => Promise.reject(silent);
    await assert.rejects(runningSession(entry, "exec in"), {
      reason: "agent-unreachable",
      message: `cannot exec in VM ${entry.name}: it runs, but qmp.sock: no such file`,
    });
    await entry.note({ reason: "", message: "" });
    await assert.rejects(runningSession(entry, "exec in"), silent);
  });

  it("is killed once it is taken over", async () => {
    const { entry } = await started();
    const { run } = entry;
    entry.run = undefined;
    const killed = kilnd.engine.vms.kill(entry.id);
    await turn();
    entry.run = run;
    await killed;
    assert.equal(entry.state, "exited");
  });
});
