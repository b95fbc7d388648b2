// Disks that come and go while the guest runs: units of the SCSI controller that the machine was launched with. QEMU opens
// nothing by name, so it is handed each file over its control socket. What is there is asked of QEMU each time: a kilnd that
// died in the middle leaves a file or a node that no device has, and the next one that has to do with that disk removes it.

import { Code, KilnError } from "../../base/errors.js";
import { KeyedLock } from "../../base/lock.js";
import { UndoStack } from "../../base/undo.js";
import { openDisk, sizeOfDisk } from "../disk-file.js";
import { checkDiskId } from "../spec-check.js";
import type { DiskSpec } from "../types.js";
import type { QmpArguments, QmpClient, QmpEvent } from "./client.js";
import { CONTROLLER, deviceOf, fdSet, MAX_DISKS, nodesOf, planNodes, planScsiDevice } from "./disks.js";
import { devicesOf, propertyOf, strange, Unplugs, unlessMissing } from "./unplug.js";

/** As many as at launch, each on a unit that no disk of the launch has. */
export const MAX_HOT_DISKS = 64;
const FIRST_LUN = MAX_DISKS;

/** QEMU lets go of a unit at once, but for what is under way to a slow file. */
const GONE_MS = 15_000;
/** What QEMU calls the class of a SCSI disk, and of any disk of ours. */
const SCSI_DISK = "child<scsi-hd>";

export interface HotDisksParts {
  /** The control connection that there is now. */
  readonly qmp: () => Pick<QmpClient, "execute" | "executeWith">;
  /** Path of `kiln-sendfd`; undefined where there is none. */
  readonly sendfd: string | undefined;
  /** Serials by id, kept up to date. */
  readonly serials: Map<string, string>;
  readonly goneMs?: number | undefined;
}

export class HotDisks {
  readonly #parts: HotDisksParts;
  readonly #turns = new KeyedLock();
  readonly #unplugs: Unplugs;

  constructor(parts: HotDisksParts) {
    this.#parts = parts;
    this.#unplugs = new Unplugs(parts.qmp, parts.goneMs ?? GONE_MS);
  }

  /** Brings the serials up to date: those of the record are those of the launch. */
  async find(): Promise<void> {
    const { serials } = this.#parts;
    const devices = await devicesOf(this.#parts.qmp);
    const ids = [...devices.keys()].flatMap((name) => /^dev-([a-z0-9]{1,20})$/.exec(name)?.[1] ?? []);
    // A QEMU of an earlier release tells none of its disks.
    if (ids.length === 0) return;
    serials.clear();
    for (const id of ids) serials.set(id, id);
  }

  attach(disk: DiskSpec): Promise<void> {
    return this.#turns.run("", () => this.#attach(disk));
  }

  async #attach(disk: DiskSpec): Promise<void> {
    checkDiskId(disk.id);
    const devices = await devicesOf(this.#parts.qmp);
    if (!devices.has(CONTROLLER)) throw noHotplug("the VM was started without a place for more disks");
    if (devices.has(deviceOf(disk.id))) throw isThere(disk);
    const lun = await this.#freeUnit(devices);
    await this.#clear(disk.id);
    // What can't be undone now is undone before the disk is next attached.
    await using undo = new UndoStack(() => undefined);
    const set = await this.#hand(disk, undo);
    for (const node of planNodes(disk, fdSet(set))) {
      await this.#do("blockdev-add", node);
      undo.push("remove a node", () => this.#undo("blockdev-del", { "node-name": node["node-name"] }));
    }
    await this.#do("device_add", planScsiDevice(disk, lun));
    undo.commit();
    this.#parts.serials.set(disk.id, disk.id);
  }

  detach(id: string): Promise<void> {
    return this.#turns.run("", () => this.#detach(id));
  }

  async #detach(id: string): Promise<void> {
    checkDiskId(id);
    const kind = (await devicesOf(this.#parts.qmp)).get(deviceOf(id));
    if (kind !== undefined && kind !== SCSI_DISK) throw isFixed(id);
    if (kind !== undefined && !(await this.#unplugs.unplug(deviceOf(id)))) throw inUse(id);
    await this.#clear(id);
    this.#parts.serials.delete(id);
  }

  async grow(disk: DiskSpec): Promise<void> {
    checkDiskId(disk.id);
    await using file = await this.#open({ ...disk, readOnly: true });
    const [node] = nodesOf(disk.id);
    await this.#do("block_resize", { "node-name": node, size: await sizeOfDisk(file) });
  }

  take(event: QmpEvent): void {
    this.#unplugs.take(event);
  }

  /** The file as QEMU's own. @returns the number of its set */
  async #hand(disk: DiskSpec, undo: UndoStack): Promise<number> {
    const { sendfd, qmp } = this.#parts;
    if (sendfd === undefined) throw noHotplug("this kiln has no kiln-sendfd to hand a file to QEMU with");
    await using file = await this.#open(disk);
    const [opaque] = nodesOf(disk.id);
    const added = (await qmp().executeWith(file.fd, sendfd, "add-fd", { opaque })) as Record<string, unknown>;
    const set = Number(added["fdset-id"]);
    if (!Number.isSafeInteger(set)) throw strange("add-fd");
    undo.push("take the file back", () => this.#undo("remove-fd", { "fdset-id": set }));
    return set;
  }

  #open({ id, path, readOnly, device = false }: DiskSpec) {
    return openDisk({ path, writable: !readOnly, device }).catch((error: unknown) => {
      throw KilnError.from(error, `open the VM's disk ${id}`);
    });
  }

  /** Without its device. */
  async #clear(id: string): Promise<void> {
    for (const node of nodesOf(id)) if (!(await this.#unplugs.drop(node))) throw inUse(id);
    const [opaque] = nodesOf(id);
    const sets = await this.#do("query-fdsets");
    if (!Array.isArray(sets)) throw strange("query-fdsets");
    for (const set of sets as { "fdset-id"?: unknown; fds?: unknown }[]) {
      const fds = Array.isArray(set.fds) ? (set.fds as { opaque?: unknown }[]) : [];
      if (fds.some((fd) => fd.opaque === opaque))
        await unlessMissing(this.#do("remove-fd", { "fdset-id": set["fdset-id"] }));
    }
  }

  async #freeUnit(devices: ReadonlyMap<string, string>): Promise<number> {
    const disks = [...devices].filter(([, kind]) => kind === SCSI_DISK).map(([name]) => name);
    const taken = await Promise.all(disks.map((name) => propertyOf(this.#parts.qmp, name, "lun")));
    for (let lun = FIRST_LUN; lun < FIRST_LUN + MAX_HOT_DISKS; lun++) if (!taken.includes(lun)) return lun;
    throw new KilnError(Code.ResourceExhausted, `a VM takes ${MAX_HOT_DISKS} disks while it runs`, {
      reason: "too-many-disks",
      hint: "detach one that is not needed any more",
    });
  }

  async #undo(command: string, args: QmpArguments): Promise<void> {
    await this.#do(command, args);
  }

  #do(command: string, args?: QmpArguments): Promise<unknown> {
    return this.#parts.qmp().execute(command, args);
  }
}

function noHotplug(why: string): KilnError {
  return new KilnError(Code.FailedPrecondition, why, {
    reason: "no-hotplug",
    hint: "stop the VM and start it again: it has one then; of one that was made with --rm make another, with -v",
  });
}

function isThere({ id }: DiskSpec): KilnError {
  return new KilnError(Code.AlreadyExists, `disk ${id} is attached already`, { reason: "disk-attached" });
}

function isFixed(id: string): KilnError {
  return new KilnError(Code.FailedPrecondition, `disk ${id} is a fixed part of the running VM`, {
    reason: "disk-is-fixed",
    hint: "stop the VM to take it away",
  });
}

function inUse(id: string): KilnError {
  return new KilnError(Code.FailedPrecondition, `disk ${id} is still in use`, {
    reason: "disk-in-use",
    hint: "what it waits for on the host's side is not done: is its file system well? Try again in a moment",
  });
}
