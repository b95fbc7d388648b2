// A VM's disks on QEMU's command line. Pure. A virtio-blk disk takes one of the machine's few slots and is what a guest
// finds soonest; a SCSI disk is a logical unit of the one controller, which takes one slot for them all.

import { Code, KilnError } from "../../base/errors.js";
import { type DiskSerials, distinctSerials } from "../disk-serials.js";
import { FIRST_DESCRIPTOR, type JailFile } from "../jail/plan.js";
import type { DiskBus, DiskSpec } from "../types.js";

/** Of the 24 virtio-mmio slots that microvm has with ACPI: serial, rng, balloon, the SCSI controller and 9 cards have theirs. */
export const MAX_BLK_DISKS = 11;
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

/** Those that QEMU has as descriptors, since no jail shows them. */
export const openedOf = (placed: readonly PlacedDisk[]): readonly PlacedDisk[] =>
  placed.filter(({ disk }) => disk.device === true);

/** Those that its jail shows. */
export const boundOf = (placed: readonly PlacedDisk[]): readonly PlacedDisk[] =>
  placed.filter(({ disk }) => disk.device !== true);

/** The controller's id, and the names of a disk's device and of its two nodes. */
export const CONTROLLER = "scsi0";
export const deviceOf = (id: string): string => `dev-${id}`;
export const nodesOf = (id: string): readonly [raw: string, file: string] => [nodeOf(id), `file-${id}`];

/** The words for them all. */
export function disksArguments(
  placed: readonly PlacedDisk[],
  places: {
    /** Where QEMU finds a file. */
    readonly at: (file: JailFile) => string;
    /** How many descriptors QEMU inherits before the opened ones. */
    readonly inherited: number;
    readonly hotplug: boolean;
  },
): readonly string[] {
  const opened = openedOf(placed);
  const fdOf = (one: PlacedDisk) => FIRST_DESCRIPTOR + places.inherited + opened.indexOf(one);
  const nameOf = (one: PlacedDisk) => (opened.includes(one) ? fdSet(fdOf(one)) : places.at(one.file));
  const on = (bus: DiskBus) => placed.filter((one) => one.bus === bus);
  const scsi = on("scsi");
  return [
    ...opened.flatMap((one) => ["-add-fd", `fd=${fdOf(one)},set=${fdOf(one)},opaque=${nodeOf(one.disk.id)}`]),
    ...on("blk").flatMap((one) => [...nodeArguments(one.disk, nameOf(one)), ...blkDevice(one.disk)]),
    ...(scsi.length > 0 || places.hotplug ? ["-device", `virtio-scsi-device,id=${CONTROLLER}`] : []),
    ...scsi.flatMap((one, lun) => [...nodeArguments(one.disk, nameOf(one)), ...scsiDevice(one.disk, lun)]),
  ];
}

/** By which QEMU opens a file that it was handed. */
export const fdSet = (set: number): string => `/dev/fdset/${set}`;

function nodeArguments(disk: DiskSpec, filename: string): string[] {
  return planNodes(disk, filename).flatMap((node) => ["-blockdev", JSON.stringify(node)]);
}

/** What the disk's content is read from, and the disk of it: as `blockdev-add` takes them, in that order. */
export function planNodes(disk: DiskSpec, filename: string): readonly Readonly<Record<string, unknown>>[] {
  const [name, fileName] = nodesOf(disk.id);
  const file = {
    driver: disk.device === true ? "host_device" : "file",
    "node-name": fileName,
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
    "node-name": name,
    file: fileName,
    "read-only": disk.readOnly,
    discard: file.discard,
  };
  return [file, raw];
}

/** By it QEMU names a disk in its events. */
const nodeOf = (id: string): string => `disk-${id}`;

/**
 * werror=enospc: a full host disk stops the guest instead of failing its write. A failed write invalidates a
 * dm-snapshot for ever, a stopped guest goes on once there is room.
 */
function backendOf(disk: DiskSpec) {
  return {
    ...{ drive: nodeOf(disk.id), serial: serialOf(disk), werror: "enospc", rerror: "report" },
    id: deviceOf(disk.id),
  };
}

function blkDevice(disk: DiskSpec): string[] {
  return ["-device", asWords({ driver: "virtio-blk-device", ...backendOf(disk) })];
}

function scsiDevice(disk: DiskSpec, lun: number): string[] {
  return ["-device", asWords(planScsiDevice(disk, lun))];
}

/**
 * As `device_add` takes it. rotation_rate=1: no disk that turns, so the guest's kernel sorts nothing for it. All on one target:
 * one scan finds them.
 */
export function planScsiDevice(disk: DiskSpec, lun: number): Readonly<Record<string, string | number>> {
  return {
    ...{ driver: "scsi-hd", bus: `${CONTROLLER}.0`, "scsi-id": 0, lun, rotation_rate: 1 },
    ...backendOf(disk),
  };
}

function asWords({ driver, ...properties }: Readonly<Record<string, string | number>>): string {
  return [driver, ...Object.entries(properties).map(([name, value]) => `${name}=${value}`)].join(",");
}
