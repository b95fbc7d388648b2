import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { worldCase } from "../../../../test/fixtures/engine-case.js";
import { createFakeRooms } from "../../../../test/fixtures/fake-rooms.js";
import { orderOf } from "../../../../test/fixtures/network-case.js";
import { hasReason } from "../../../base/errors.js";
import type { DiskBus } from "../../../vmm/types.js";
import { attachmentOf } from "../../vm/network-config.js";

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

describe("the VMM of a VM on named networks", () => {
  it("is one that takes their cards, unless somebody named another", async () => {
    const rooms = createFakeRooms(kilnd.world);
    const choose: typeof rooms.vmms.choose = async (name, ...words) => {
      const { driver, probe, why } = await rooms.vmms.choose(name, ...words);
      const { capabilities } = probe;
      const networkCards = name === "qemu" ? ("descriptor" as const) : undefined;
      const its = capabilities && { ...capabilities, networkCards };
      return { driver, probe: { ...probe, ...(its === undefined ? {} : { capabilities: its }) }, why };
    };
    await kilnd.open({}, { ...rooms, vmms: { ...rooms.vmms, choose } });
    await kilnd.engine.networks.create(orderOf("web"));
    const networks = [attachmentOf({ name: "web", ip: "", ip6: "", mac: "", aliases: [] })];
    const { id } = await kilnd.create({ networks });
    await kilnd.engine.vms.start(id);
    const other = await kilnd.create({ name: "other", networks, vmm: "firecracker" });
    await assert.rejects(kilnd.engine.vms.start(other.id), (error) =>
      hasReason(error, "vmm-without-networks"),
    );
    assert.deepEqual(kilnd.world.bridges?.calls.slice(-2), ["join web other", "leave web other"]);
  });
});
