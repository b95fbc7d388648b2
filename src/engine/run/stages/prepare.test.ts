import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { worldCase } from "../../../../test/fixtures/engine-case.js";
import { createFakeRooms } from "../../../../test/fixtures/fake-rooms.js";
import type { DiskBus } from "../../../vmm/types.js";

const kilnd = worldCase();

/** What a VM is launched with by a VMM that puts its disks on those buses, and which disks that was asked of. */
async function launched(buses: readonly DiskBus[]) {
  const rooms = createFakeRooms(kilnd.world);
  const asked: string[][] = [];
  const choose: typeof rooms.vmms.choose = async (...words) => {
    const choice = await rooms.vmms.choose(...words);
    const busesOf = (disks: readonly { id: string }[]) => {
      asked.push(disks.map(({ id }) => id));
      return new Set(buses);
    };
    return { ...choice, driver: { ...choice.driver, busesOf } };
  };
  const initramfs: typeof rooms.kernels.initramfs = async (_kernel, _agent, { scsi } = {}) =>
    scsi === true ? "/with-scsi" : "/plain";
  const kernels = { ...rooms.kernels, initramfs };
  await kilnd.open({}, { ...rooms, kernels, vmms: { ...rooms.vmms, choose } });
  const entry = await kilnd.create();
  await kilnd.engine.vms.start(entry.id);
  const spec = kilnd.world.vmms.at(-1)?.spec;
  return { initrd: spec?.initrd, disks: spec?.disks.map(({ id }) => id), asked };
}

describe("the initramfs that a VM boots", () => {
  it("is the plain one where all its disks are on virtio-blk", async () => {
    const { initrd, disks, asked } = await launched(["blk"]);
    assert.equal(initrd, "/plain");
    assert.deepEqual(asked, [disks], "the VMM is asked of the disks that it gets");
  });

  it("is the one with modules for SCSI where one of them is not", async () => {
    assert.equal((await launched(["blk", "scsi"])).initrd, "/with-scsi");
  });
});
