import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../../base/errors.js";
import { createFirecrackerDriver } from "../firecracker/driver.js";
import type { DiskBus, DiskSpec } from "../types.js";
import { disksArguments, MAX_BLK_DISKS, MAX_DISKS, placeDisks } from "./disks.js";
import { createQemuDriver } from "./driver.js";

const BASE: DiskSpec = { id: "base", path: "/d/base,1.ext4", readOnly: true };
const COW: DiskSpec = { id: "cow", path: "/d/cow", readOnly: false };

function many(count: number, bus?: DiskBus): DiskSpec[] {
  return Array.from({ length: count }, (_, index) => ({
    ...{ id: `d${index}`, path: `/d/${index}`, readOnly: true },
    ...(bus === undefined ? {} : { bus }),
  }));
}

/** Where each disk hangs, by its id. */
const buses = (disks: readonly DiskSpec[]) =>
  new Map(placeDisks(disks).map(({ disk, bus }) => [disk.id, bus]));

const PLACES = { at: ({ at }: { readonly at: string }) => at, inherited: 3, hotplug: false };
const words = (disks: readonly DiskSpec[]) => disksArguments(placeDisks(disks), PLACES);

/** The values of an option. */
function values(argv: readonly string[], option: string): string[] {
  return argv.flatMap((word, index) => (word === option ? [argv[index + 1] ?? ""] : []));
}

const nodesOf = (disks: readonly DiskSpec[]) =>
  values(words(disks), "-blockdev").map((text) => JSON.parse(text) as Record<string, unknown>);

describe("placeDisks", () => {
  it("puts the first ones on virtio-blk and the rest on SCSI", () => {
    const found = [...buses(many(MAX_DISKS)).values()];
    assert.equal(MAX_BLK_DISKS, 11);
    assert.equal(found.lastIndexOf("blk"), MAX_BLK_DISKS - 1);
    assert.equal(found.indexOf("scsi"), MAX_BLK_DISKS);
  });

  it("gives a disk the bus that it asks for, before it gives the room away", () => {
    const disks = [{ ...BASE, bus: "scsi" as const }, ...many(19), { ...COW, bus: "blk" as const }];
    const found = buses(disks);
    assert.deepEqual(
      ["base", "d0", "d9", "d10", "cow"].map((id) => found.get(id)),
      ["scsi", "blk", "blk", "scsi", "blk"],
    );
  });

  it("refuses more on virtio-blk than there is room for", () => {
    assert.throws(
      () => placeDisks(many(12, "blk")),
      (error) => hasReason(error, "too-many-disks"),
    );
    assert.equal(placeDisks(many(11, "blk")).length, 11);
  });
});

describe("the buses that a guest needs drivers for", () => {
  const onQemu = createQemuDriver({ cacheDirectory: "/nowhere" });

  it("are virtio-blk alone, until a disk finds no room there or asks for SCSI", () => {
    assert.deepEqual([...onQemu.busesOf([BASE, COW])], ["blk"]);
    assert.deepEqual([...onQemu.busesOf(many(MAX_BLK_DISKS))], ["blk"]);
    assert.deepEqual([...onQemu.busesOf(many(MAX_BLK_DISKS + 1))], ["blk", "scsi"]);
    assert.deepEqual([...onQemu.busesOf([BASE, { ...COW, bus: "scsi" }])], ["blk", "scsi"]);
  });

  it("are virtio-blk on Firecracker, which has no other", () => {
    const driver = createFirecrackerDriver({ cacheDirectory: "/nowhere" });
    assert.deepEqual([...driver.busesOf(many(MAX_BLK_DISKS + 1))], ["blk"]);
  });
});

describe("disksArguments", () => {
  it("keeps the order of the disks, shares what is read-only, and stops the guest on a full host disk", () => {
    const nodes = nodesOf([BASE, COW]);
    assert.deepEqual(
      nodes.map((node) => [node.driver, node["node-name"], node["read-only"], node.filename ?? node.file]),
      [
        ["file", "file-base", true, "/disk-base"],
        ["raw", "disk-base", true, "file-base"],
        ["file", "file-cow", false, "/disk-cow"],
        ["raw", "disk-cow", false, "file-cow"],
      ],
    );
    assert.deepEqual(values(words([BASE, COW]), "-device"), [
      "virtio-blk-device,drive=disk-base,serial=base,werror=enospc,rerror=report,id=dev-base",
      "virtio-blk-device,drive=disk-cow,serial=cow,werror=enospc,rerror=report,id=dev-cow",
    ]);
  });

  it("locks the disk that it writes, and none that other VMs share", () => {
    const locks = nodesOf([BASE, COW])
      .filter((node) => node.driver === "file")
      .map((node) => [node.filename, node.locking]);
    assert.deepEqual(locks, [
      ["/disk-base", "off"],
      ["/disk-cow", "on"],
    ]);
  });

  it("hangs SCSI disks on one controller, one logical unit behind the other, by the same rules", () => {
    const disks = [
      { ...BASE, bus: "scsi" as const },
      { ...COW, bus: "scsi" as const },
    ];
    assert.deepEqual(values(words(disks), "-device"), [
      "virtio-scsi-device,id=scsi0",
      "scsi-hd,bus=scsi0.0,scsi-id=0,lun=0,rotation_rate=1,drive=disk-base,serial=base,werror=enospc,rerror=report,id=dev-base",
      "scsi-hd,bus=scsi0.0,scsi-id=0,lun=1,rotation_rate=1,drive=disk-cow,serial=cow,werror=enospc,rerror=report,id=dev-cow",
    ]);
    assert.deepEqual(nodesOf(disks), nodesOf([BASE, COW]));
  });

  it("makes no controller for nothing", () => {
    assert.deepEqual(words([]), []);
    assert.ok(!words(many(MAX_BLK_DISKS)).some((word) => word.includes("scsi")));
    assert.equal(
      values(words(many(64)), "-device").filter((device) => /^virtio-(blk|scsi)/.test(device)).length,
      MAX_BLK_DISKS + 1,
    );
  });
});
