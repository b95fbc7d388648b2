// Disks that come and go while a guest runs under Firecracker. It plugs none without PCI, but it changes the file of a drive that
// it has: so a VM that is launched for it has a few spare drives, each over a file of one sector, and a disk that comes takes the
// place of such a file. Firecracker opens it by its name, in a directory of kilnd's that its jail shows: a hard link is all that
// appears there while the jail stands. Which drive has which file is asked of Firecracker each time.

import { chmod, chown, link, lstat, mkdir, open, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Code, errnoOf, KilnError } from "../../base/errors.js";
import { KeyedLock } from "../../base/lock.js";
import { checkDiskId } from "../spec-check.js";
import type { DiskSpec, VmmSpec } from "../types.js";
import { serialOfFile } from "./file-serials.js";

/** In the VM's state directory, which is on the file system of disks; and in the jail. */
export const HOT = "h";
/** What a virtio disk has at least. */
const SPARE_BYTES = 512;
/** Whether a drive can be written is told to the guest once, at its boot. */
const WRITABLE_SPARES = 4;
const READ_ONLY_SPARES = 2;
export const MAX_HOT_DRIVES = WRITABLE_SPARES + READ_ONLY_SPARES;

export interface Spare {
  /** No disk has such an id. */
  readonly id: string;
  readonly readOnly: boolean;
}

/** As many as there is room for beside the VM's own disks, the writable ones first. */
export function planSpares(
  { disks, hotplug }: Pick<VmmSpec, "disks" | "hotplug">,
  maxDisks: number,
): readonly Spare[] {
  if (hotplug !== true) return [];
  const count = Math.max(0, Math.min(MAX_HOT_DRIVES, maxDisks - disks.length));
  return Array.from({ length: count }, (_, index) => ({
    id: `spare_${index}`,
    readOnly: index >= WRITABLE_SPARES,
  }));
}

/** The directory with the spare files, anew. */
export async function makeSpares(
  directory: string,
  spares: readonly Spare[],
  owner: VmmSpec["runAs"],
): Promise<void> {
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory);
  // Its user goes through it, and neither lists nor writes it: whatever the umask.
  await chmod(directory, 0o711);
  for (const { id } of spares) {
    const path = join(directory, id);
    await using file = await open(path, "wx", 0o600);
    await file.truncate(SPARE_BYTES);
    if (owner !== undefined) await chown(path, owner.uid, owner.gid);
  }
}

export interface HotDrivesParts {
  readonly directory: string;
  readonly call: (
    method: "GET" | "PATCH",
    path: string,
    body?: Readonly<Record<string, unknown>>,
  ) => Promise<unknown>;
  /** Serials by id, kept up to date. */
  readonly serials: Map<string, string>;
}

interface Drive {
  readonly id: string;
  readonly spare: boolean;
  /** The id of the disk that it is; undefined of a spare one that is free. */
  readonly disk: string | undefined;
  /** As Firecracker sees it. */
  readonly path: string;
  readonly readOnly: boolean;
}

export class HotDrives {
  readonly #parts: HotDrivesParts;
  readonly #turns = new KeyedLock();

  constructor(parts: HotDrivesParts) {
    this.#parts = parts;
  }

  /** Adds to the serials those of the disks that came since the launch. */
  async find(): Promise<void> {
    for (const { spare, disk } of await this.#drives()) {
      if (spare && disk !== undefined) await this.#tell(disk);
    }
  }

  attach(disk: DiskSpec): Promise<void> {
    return this.#turns.run("", () => this.#attach(disk));
  }

  async #attach(disk: DiskSpec): Promise<void> {
    checkDiskId(disk.id);
    if (disk.device === true) throw noDevices(disk);
    const drives = await this.#drives();
    if (drives.some((drive) => drive.disk === disk.id)) throw isThere(disk);
    const spares = drives.filter(({ spare }) => spare);
    if (spares.length === 0) throw noSpares();
    const free = spares.find((spare) => spare.disk === undefined && spare.readOnly === disk.readOnly);
    if (free === undefined) throw allTaken(disk);
    await this.#link(disk);
    try {
      await this.#change(free, `${dirname(free.path)}/${nameOf(disk.id)}`);
    } catch (error) {
      await this.#unlink(disk.id);
      throw error;
    }
    await this.#tell(disk.id);
  }

  detach(id: string): Promise<void> {
    return this.#turns.run("", () => this.#detach(id));
  }

  /** The guest has a disk of one sector in its place. */
  async #detach(id: string): Promise<void> {
    checkDiskId(id);
    const drive = (await this.#drives()).find(({ disk }) => disk === id);
    if (drive?.spare === false) throw isFixed(id);
    if (drive !== undefined) await this.#change(drive, `${dirname(drive.path)}/${drive.id}`);
    await this.#unlink(id);
    this.#parts.serials.delete(id);
  }

  /** It looks at the size of a file when it is given it, be it the same. */
  async grow({ id }: DiskSpec): Promise<void> {
    const drive = (await this.#drives()).find(({ disk }) => disk === id);
    if (drive === undefined) throw noSuchDisk(id);
    await this.#change(drive, drive.path);
  }

  async #change({ id }: Drive, path: string): Promise<void> {
    await this.#parts.call("PATCH", `/drives/${id}`, { drive_id: id, path_on_host: path });
  }

  async #link({ id, path }: DiskSpec): Promise<void> {
    const name = join(this.#parts.directory, nameOf(id));
    await this.#unlink(id);
    try {
      await link(path, name);
      if ((await lstat(name)).isFile()) return;
    } catch (error) {
      if (errnoOf(error) === "EXDEV") throw otherFileSystem(id, path);
      throw KilnError.from(error, `open the VM's disk ${id}`);
    }
    await this.#unlink(id);
    throw new KilnError(Code.FailedPrecondition, `open the VM's disk ${id}: ${path} is no file`, {
      reason: "not-as-expected",
    });
  }

  async #unlink(id: string): Promise<void> {
    await rm(join(this.#parts.directory, nameOf(id)), { force: true });
  }

  /** One that can't be told from another is not told. */
  async #tell(id: string): Promise<void> {
    const { directory, serials } = this.#parts;
    const numbers = await lstat(join(directory, nameOf(id)), { bigint: true }).catch(() => undefined);
    if (numbers === undefined) return;
    const serial = serialOfFile(numbers);
    if (![...serials.values()].includes(serial)) serials.set(id, serial);
  }

  async #drives(): Promise<readonly Drive[]> {
    const config = (await this.#parts.call("GET", "/vm/config")) as { drives?: unknown } | undefined;
    if (!Array.isArray(config?.drives)) {
      throw new KilnError(Code.DataLoss, "Firecracker tells no drives", { reason: "firecracker-violation" });
    }
    const drives = config.drives as { drive_id?: unknown; path_on_host?: unknown; is_read_only?: unknown }[];
    return drives.map((drive) => {
      const [id, path] = [String(drive.drive_id), String(drive.path_on_host)];
      const spare = /^spare_[0-9]+$/.test(id);
      const disk = spare ? /^disk-([a-z0-9]{1,20})$/.exec(basename(path))?.[1] : id;
      return { id, spare, disk, path, readOnly: drive.is_read_only === true };
    });
  }
}

const nameOf = (id: string): string => `disk-${id}`;

/** Of a disk that no Firecracker of ours is given. */
export function noDevices({ id, path }: DiskSpec): KilnError {
  return new KilnError(Code.FailedPrecondition, `disk ${id}: Firecracker's jail shows no device (${path})`, {
    reason: "no-device-disks",
    hint: "start the VM under QEMU (--vmm qemu)",
  });
}

function noSpares(): KilnError {
  return new KilnError(Code.FailedPrecondition, "the VM was started without a place for more disks", {
    reason: "no-hotplug",
    hint: "stop the VM and start it again: it has one then, if it has few enough of its own; of one that was made with --rm make another, with -v",
  });
}

function isThere({ id }: DiskSpec): KilnError {
  return new KilnError(Code.AlreadyExists, `disk ${id} is attached already`, { reason: "disk-attached" });
}

function allTaken({ readOnly }: DiskSpec): KilnError {
  const [kind, count] = readOnly ? ["read-only", READ_ONLY_SPARES] : ["writable", WRITABLE_SPARES];
  return new KilnError(
    Code.ResourceExhausted,
    `a VM under Firecracker takes at most ${count} ${kind} disks while it runs`,
    { reason: "too-many-disks", hint: "detach one that is not needed any more" },
  );
}

function isFixed(id: string): KilnError {
  return new KilnError(Code.FailedPrecondition, `disk ${id} is a fixed part of the running VM`, {
    reason: "disk-is-fixed",
    hint: "stop the VM to take it away",
  });
}

function noSuchDisk(id: string): KilnError {
  return new KilnError(Code.NotFound, `the VM has no disk ${id}`, { reason: "no-such-disk" });
}

function otherFileSystem(id: string, path: string): KilnError {
  return new KilnError(
    Code.FailedPrecondition,
    `put disk ${id} (${path}) into the VM's jail: it is on another file system`,
    { reason: "jail-other-file-system", hint: "keep volumes and VMs below one data root" },
  );
}
