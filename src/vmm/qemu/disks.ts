// A VM's disks on QEMU's command line. Pure. A virtio-blk disk takes one of the machine's few slots and is what a guest
// finds soonest; a SCSI disk is a logical unit of the one controller, which takes one slot for them all.

import { Code, KilnError } from "../../base/errors.js";
import { type DiskSerials, distinctSerials } from "../disk-serials.js";
import type { JailFile } from "../jail/plan.js";
import type { DiskBus, DiskSpec } from "../types.js";

/** Of the 24 virtio-mmio slots that microvm has with ACPI: serial, rng, balloon, net and the SCSI controller have theirs. */
export const MAX_BLK_DISKS = 19;
/** What a jail is made with, and a guest finds, in the time of a boot; the controller itself takes 16,384 units. */
export const MAX_DISKS = 64;

export interface PlacedDisk {
  readonly disk: DiskSpec;
  readonly bus: DiskBus;
  readonly file: JailFile;
}

/**
 * Puts each disk on a bus: those that ask for one there, of the others as many on virtio-blk as have room.
 *
 * @throws KilnError invalid_argument `too-many-disks`
 */
export function placeDisks(disks: readonly DiskSpec[]): readonly PlacedDisk[] {
  const asked = disks.filter(({ bus }) => bus === "blk").length;
  if (asked > MAX_BLK_DISKS) {
    throw new KilnError(
      Code.InvalidArgument,
      `the VM cannot have ${asked} disks on virtio-blk: QEMU's machine takes ${MAX_BLK_DISKS} there`,
      { reason: "too-many-disks", hint: "leave the bus to the driver: it puts the rest on SCSI" },
    );
  }
  let room = MAX_BLK_DISKS - asked;
  return disks.map((disk) => ({
    ...{ disk, file: fileOf(disk) },
    bus: disk.bus ?? (room-- > 0 ? "blk" : "scsi"),
  }));
}

/** What `disksArguments` gives them. */
export function serialsOf(disks: readonly DiskSpec[]): DiskSerials {
  return distinctSerials(disks.map((disk) => [disk.id, serialOf(disk)]));
}

/** An id is no longer than a serial may be. */
const serialOf = ({ id }: DiskSpec): string => id;

function fileOf({ id, path, readOnly }: DiskSpec): JailFile {
  return { path, at: `/disk-${id}`, writable: !readOnly, what: `disk ${id}` };
}

/** The words for them all. @param at where QEMU finds a file */
export function disksArguments(
  placed: readonly PlacedDisk[],
  at: (file: JailFile) => string,
): readonly string[] {
  const on = (bus: DiskBus) => placed.filter((one) => one.bus === bus);
  const scsi = on("scsi");
  return [
    ...on("blk").flatMap(({ disk, file }) => [...nodeArguments(disk, at(file)), ...blkDevice(disk)]),
    ...(scsi.length > 0 ? ["-device", "virtio-scsi-device,id=scsi0"] : []),
    ...scsi.flatMap(({ disk, file }, lun) => [...nodeArguments(disk, at(file)), ...scsiDevice(disk, lun)]),
  ];
}

function nodeArguments(disk: DiskSpec, filename: string): string[] {
  const file = {
    driver: "file",
    "node-name": `file-${disk.id}`,
    filename,
    "read-only": disk.readOnly,
    // A cow file of a VM that still runs is refused. What is shared and never written has no locks: any process that may
    // read it, a VMM that was broken out of among them, could take one that keeps all other VMs from starting.
    locking: disk.readOnly ? "off" : "on",
    aio: "threads",
    discard: disk.readOnly ? "ignore" : "unmap",
  };
  const raw = {
    driver: "raw",
    "node-name": nodeOf(disk),
    file: file["node-name"],
    "read-only": disk.readOnly,
    discard: file.discard,
  };
  return ["-blockdev", JSON.stringify(file), "-blockdev", JSON.stringify(raw)];
}

/** By it QEMU names a disk in its events. */
const nodeOf = ({ id }: DiskSpec): string => `disk-${id}`;

/**
 * werror=enospc: a full host disk stops the guest instead of failing its write. A failed write invalidates a
 * dm-snapshot for ever, a stopped guest goes on once there is room.
 */
const backendOf = (disk: DiskSpec): string =>
  `drive=${nodeOf(disk)},serial=${serialOf(disk)},werror=enospc,rerror=report`;

function blkDevice(disk: DiskSpec): string[] {
  return ["-device", `virtio-blk-device,${backendOf(disk)}`];
}

/** rotation_rate=1: no disk that turns, so the guest's kernel sorts nothing for it. All on one target: one scan finds them. */
function scsiDevice(disk: DiskSpec, lun: number): string[] {
  return ["-device", `scsi-hd,bus=scsi0.0,scsi-id=0,lun=${lun},rotation_rate=1,${backendOf(disk)}`];
}
