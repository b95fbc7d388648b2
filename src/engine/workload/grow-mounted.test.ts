import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import { hasReason } from "../../base/errors.js";
import { type MountSpec, NO_MOUNT } from "../../base/mounts.js";
import { mountOf } from "../vm/mount-config.js";

const GIB = 1024 ** 3;
const kilnd = engineCase();
beforeEach(() => {
  kilnd.world.behaviours = [{ features: ["workloads", "disk-serial", "mounts"] }];
});

/** A volume of 1 GiB, and a VM that runs with it. */
async function running(changes: Partial<MountSpec> = {}) {
  const { volumes } = kilnd.engine;
  await volumes.create({ name: "data", sizeBytes: GIB, labels: {} });
  const mount = mountOf({ ...NO_MOUNT, source: "data", target: "/data", ...changes });
  const { entry, vmm } = await kilnd.running({ mounts: [mount] });
  return { volumes, entry, vmm, mounts: vmm.guest.mounts };
}

describe("growing a volume that a VM has", () => {
  it("grows its disk and its file system in a VM that may write", async () => {
    const { volumes, vmm, mounts } = await running();
    mounts.grownBytes = BigInt(2 * GIB);
    const { sizeBytes, filesystemBytes } = await volumes.grow("data", 2 * GIB);
    assert.deepEqual([sizeBytes, filesystemBytes], [2 * GIB, 2 * GIB]);
    assert.deepEqual([vmm.grown, mounts.calls], [[[...mounts.there.keys()][0]], ["grow /data"]]);
    await volumes.grow("data", 2 * GIB);
    assert.equal(mounts.calls.length, 1, "there is nothing to do");
  });

  it("says where the guest could not, and does it when it is asked again", async () => {
    const { volumes, mounts, entry } = await running();
    mounts.error = new ConnectError("no", Code.FailedPrecondition);
    await assert.rejects(volumes.grow("data", 2 * GIB), (error) => {
      return hasReason(error, "grow-unfinished") && String(error).includes(`VM ${entry.name}`);
    });
    const { sizeBytes, filesystemBytes } = await volumes.find("data");
    assert.deepEqual([sizeBytes, filesystemBytes], [2 * GIB, GIB]);
    mounts.grownBytes = BigInt(2 * GIB);
    assert.equal((await volumes.grow("data", 2 * GIB)).filesystemBytes, 2 * GIB);
  });

  it("does it when a VM goes on that was paused meanwhile", async () => {
    const { volumes, mounts, vmm, entry } = await running();
    await kilnd.engine.vms.pause(entry.id);
    await assert.rejects(volumes.grow("data", 2 * GIB), (error) => hasReason(error, "grow-unfinished"));
    assert.deepEqual([vmm.grown, mounts.calls], [[], []]);
    mounts.grownBytes = BigInt(2 * GIB);
    await kilnd.engine.vms.unpause(entry.id);
    while ((await volumes.find("data")).filesystemBytes !== 2 * GIB) await setImmediate();
    assert.deepEqual([vmm.grown.length, mounts.calls], [1, ["grow /data"]]);
  });

  it("leaves a VM alone that reads it", async () => {
    const { volumes, vmm, mounts } = await running({ readOnly: true });
    assert.equal((await volumes.grow("data", 2 * GIB)).filesystemBytes, GIB);
    assert.deepEqual([vmm.grown, mounts.calls], [[], []]);
  });
});
