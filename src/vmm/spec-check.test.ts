import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../base/errors.js";
import { qemuCapabilities } from "./qemu/look.js";
import { checkSpec } from "./spec-check.js";
import type { DiskBus, DiskSpec, VmmSpec } from "./types.js";

const SPEC: VmmSpec = {
  vmId: "ab".repeat(32),
  ...{ runDirectory: "/r", stateDirectory: "/s", kernel: "/k", initrd: "/i", kernelArgs: [] },
  ...{ vcpus: 1, memoryBytes: 256 * 1024 * 1024, disks: [], cards: [], ports: [] },
};

const disk = (id: string, more: Partial<DiskSpec> = {}): DiskSpec => ({
  id,
  path: "/d",
  readOnly: true,
  ...more,
});

const check = (change: Partial<VmmSpec>, buses: readonly DiskBus[] = ["blk", "scsi"]) =>
  checkSpec({ ...SPEC, ...change }, qemuCapabilities("tcg"), buses);

describe("checkSpec", () => {
  it("takes as many disks as the machine has room for, and no more", () => {
    const disks = Array.from({ length: 65 }, (_, index) => disk(`d${index}`));
    check({ disks: disks.slice(1) });
    assert.throws(
      () => check({ disks }),
      (error) => hasReason(error, "too-many-disks"),
    );
  });

  it("refuses a bus that the machine has not, by the disk's name", () => {
    const disks = [disk("base"), disk("data", { bus: "scsi" })];
    check({ disks });
    assert.throws(
      () => check({ disks }, ["blk"]),
      (error) => hasReason(error, "no-such-bus") && /disk data on "scsi"/.test(String(error)),
    );
  });

  it("refuses ids that are words of something else, and one that two disks have", () => {
    for (const disks of [[disk("a,b")], [disk("")], [disk("x".repeat(21))], [disk("a"), disk("a")]]) {
      assert.throws(
        () => check({ disks }),
        (error) => hasReason(error, "bad-disk-id"),
      );
    }
  });
});
