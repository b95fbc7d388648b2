// Volumes: disks that outlive VMs. Made, found, grown and removed here; who has one among its mounts says the table of
// references, who has it open at this moment the holders.

import { open, stat } from "node:fs/promises";
import { join } from "node:path";
import { Code, KilnError } from "../../base/errors.js";
import { failpoint } from "../../base/failpoint.js";
import { allocatedBytes } from "../../base/files.js";
import { newId } from "../../base/ids.js";
import { KeyedLock } from "../../base/lock.js";
import type { Logger } from "../../base/log.js";
import { UndoStack } from "../../base/undo.js";
import type { EventLog } from "../common/events.js";
import type { DiskRoom } from "../common/rooms.js";
import type { EngineSettings } from "../common/settings.js";
import { type Host, requireDisk } from "../host/host.js";
import { type Keeping, leaseFound } from "../objects/lease-found.js";
import type { References } from "../objects/references.js";
import { VOLUME_CONTENT, VolumeEntry, volumeKind, volumeRef } from "./entry.js";
import { type Holder, VolumeHolders } from "./holders.js";
import type { VolumeRecord, VolumeStatus } from "./record.js";
import { otherSize, shrinks } from "./refusals.js";
import { VolumeRegistry } from "./registry.js";
import { checkSize, checkSpec, type VolumeSpec } from "./spec.js";
import { DISK_FILE, loadVolumes, type VolumeObjects, volumeObjects } from "./store.js";
import { emitVolumeEvent } from "./volume-events.js";

export interface VolumesOptions {
  readonly dataRoot: string;
  readonly disks: Pick<DiskRoom, "createEmpty">;
  readonly host: Host;
  readonly settings: Pick<EngineSettings, "diskReserveBytes">;
  readonly references: References;
  readonly events: Pick<EventLog, "emit">;
  readonly log: Logger;
  readonly now: () => number;
}

/** One that was asked for, and whether it was made by that. */
export interface TakenVolume {
  readonly entry: VolumeEntry;
  readonly made: boolean;
}

/** What an empty volume takes of the host before anything is written to it: tables and records. */
const EMPTY_BYTES = 8 * 1024 ** 2;

export class Volumes {
  readonly #options: VolumesOptions;
  readonly #objects: VolumeObjects;
  readonly #registry = new VolumeRegistry();
  readonly #holders = new VolumeHolders();
  readonly #lock = new KeyedLock();
  /** By name: two who ask for one of the same name get the same. */
  readonly #naming = new KeyedLock();

  constructor(options: VolumesOptions) {
    this.#options = options;
    this.#objects = volumeObjects(options.dataRoot, options.log);
  }

  /** Reads what is there; removes what a kill left half made. */
  async open(): Promise<void> {
    for (const { id, record, status, recordFlaw } of await loadVolumes(this.#objects)) {
      this.#registry.add(this.#entry(id, record, status, recordFlaw));
    }
  }

  list(): VolumeEntry[] {
    return this.#registry.list();
  }

  get(id: string): VolumeEntry | undefined {
    return this.#registry.get(id);
  }

  /** @throws KilnError not_found `volume-not-found`, invalid_argument `ambiguous-id` */
  find(key: string): VolumeEntry {
    return this.#registry.find(key);
  }

  /** The file with its file system; what guests see of it lies in the directory `VOLUME_CONTENT`. */
  path(id: string): string {
    return this.#objects.path(id, DISK_FILE);
  }

  /**
   * The volume of that name, made where there is none. It may be removed as soon as this resolves.
   *
   * @throws KilnError invalid_argument `bad-name`, `bad-volume-size`, `bad-label`; already_exists `volume-exists`: one of
   *   another size; `host-disk-full`
   */
  async create(spec: VolumeSpec): Promise<TakenVolume> {
    const leases = new UndoStack();
    try {
      return await this.take(spec, { references: this.#options.references, leases, why: "it is being made" });
    } finally {
      await leases.rollback();
    }
  }

  /** The same, kept from removal until the leases are let go of. */
  async take(spec: VolumeSpec, keeping: Keeping): Promise<TakenVolume> {
    const wanted = checkSpec(spec);
    return leaseFound(keeping, {
      find: () => this.#findOrMake(wanted, spec.sizeBytes !== 0),
      refOf: ({ entry }) => volumeRef(entry.id),
      isHere: ({ entry }) => !entry.removing,
    });
  }

  /**
   * For good.
   *
   * @throws KilnError failed_precondition `volume-in-use` with the names of those who use it, `being-removed`
   */
  async remove(entry: VolumeEntry): Promise<void> {
    const claim = this.#options.references.claim(volumeRef(entry.id));
    try {
      await this.removeClaimed(entry.id);
    } finally {
      claim.release();
    }
  }

  /** For who has claimed it. @returns the bytes that came back */
  async removeClaimed(id: string): Promise<number> {
    const entry = this.#registry.get(id);
    if (entry === undefined) return 0;
    return entry.locked(async () => {
      if (entry.removing) return 0;
      await entry.settled();
      const bytes = await allocatedBytes(this.path(id));
      const take = (gone: () => void) =>
        this.#objects.remove(id, () => {
          gone();
          this.#registry.remove(entry);
        });
      await entry.leave(take, () => emitVolumeEvent(this.#options, entry, "destroy"));
      return bytes;
    });
  }

  /**
   * The disk is larger when it resolves. The file system too where a VM has it writable that can be told; else at the next
   * mount that may write: see `VolumeEntry.isToGrow`.
   *
   * @param tell has the VM grow the file system; gives its bytes, or undefined where that is for later
   * @throws KilnError invalid_argument `volume-shrink`, `bad-volume-size`; failed_precondition `volume-damaged`; what the
   *   VM that has it says, and then the disk has grown all the same
   */
  async grow(
    entry: VolumeEntry,
    sizeBytes: number,
    tell: (writer: Holder) => Promise<number | undefined>,
  ): Promise<void> {
    const wanted = checkSize(sizeBytes);
    await entry.locked(async () => {
      entry.requireHere();
      entry.requireRecord("grow");
      await this.#requireWhole(entry);
      if (wanted < entry.sizeBytes) throw shrinks(entry, wanted);
      if (wanted > entry.sizeBytes) await this.#growDisk(entry, wanted);
      const writer = this.#holders.writer(entry.id);
      const bytes = entry.isToGrow && writer !== undefined ? await tell(writer) : undefined;
      if (bytes !== undefined) await this.noteFilesystem(entry.id, bytes);
    });
  }

  /**
   * For a VM that is to have it open, until the release.
   *
   * @throws KilnError failed_precondition `volume-busy` with the name of the VM that has it, `volume-damaged`; not_found
   *   `volume-not-found`
   */
  async use(id: string, holder: Holder): Promise<() => void> {
    const entry = this.find(id);
    entry.requireHere();
    const release = this.#holders.take(id, `volume ${entry.name}`, holder);
    try {
      await this.#requireWhole(entry);
      return release;
    } catch (error) {
      release();
      throw error;
    }
  }

  /** The same for a VM that an earlier kilnd has given it to. It is not refused. */
  adopt(id: string, holder: Holder): () => void {
    return this.#holders.adopt(id, holder);
  }

  /** Those that have it open. */
  holders(id: string): readonly Holder[] {
    return this.#holders.of(id);
  }

  /** That a VM which mounts it read-only has its disk writable, or no more: the next kilnd has to know. */
  async noteRepair(id: string, vm: string, repairs: boolean): Promise<void> {
    const entry = this.get(id);
    const known = entry?.status.repairedBy === vm;
    if (entry !== undefined && known !== repairs) await entry.note({ repairedBy: repairs ? vm : "" }, true);
  }

  /** From now on nothing is copied into it at a mount. */
  async markFilled(id: string): Promise<void> {
    const entry = this.get(id);
    if (entry !== undefined && !entry.status.filled) await entry.note({ filled: true }, true);
  }

  /** What a guest's agent says of the file system that it has mounted. */
  async noteFilesystem(id: string, bytes: number): Promise<void> {
    const entry = this.get(id);
    if (entry === undefined) return;
    // Whole groups of blocks: what is left at the end of a disk, and is no group, never becomes part of it.
    const isAll = entry.sizeBytes - bytes < GROUP_BYTES;
    await entry.note({ filesystemBytes: isAll ? entry.sizeBytes : bytes });
  }

  /** Bytes really taken on the host. */
  usedBytes(id: string): Promise<number> {
    return allocatedBytes(this.path(id));
  }

  /** Names in volumes/ that belong to none: for `system df`. */
  strays(): Promise<string[]> {
    return this.#objects.strays(new Set(this.list().map(({ id }) => id)));
  }

  /** For `system prune`. @returns the bytes that came back */
  clearLeftovers(): Promise<number> {
    return this.#objects.clearLeftovers();
  }

  #findOrMake(wanted: VolumeSpec, sized: boolean): Promise<TakenVolume> {
    if (wanted.name === "") return this.#make(wanted);
    return this.#naming.run(wanted.name, async () => {
      const entry = this.#registry.named(wanted.name);
      if (entry === undefined) return this.#make(wanted);
      if (sized && !entry.removing && entry.sizeBytes !== wanted.sizeBytes) throw otherSize(entry, wanted);
      return { entry, made: false };
    });
  }

  async #make({ name: wanted, sizeBytes, labels }: VolumeSpec): Promise<TakenVolume> {
    const { host, settings, disks, now } = this.#options;
    const id = newId();
    await using undo = new UndoStack();
    const { name, release } = this.#registry.takeName(wanted === "" ? id : wanted, id);
    undo.push("give the name back", release);
    await requireDisk(
      host,
      `make volume ${name}`,
      this.#options.dataRoot,
      EMPTY_BYTES,
      settings.diskReserveBytes,
    );
    const createdAt = new Date(now()).toISOString();
    const anonymous = wanted === "";
    const record = { version: 1, id, name, createdAt, sizeBytes, labels: { ...labels }, anonymous };
    const status = { version: 1, filled: false, filesystemBytes: sizeBytes, repairedBy: "" };
    await this.#objects.create(id, { record, status }, (directory) =>
      disks.createEmpty(join(directory, DISK_FILE), { sizeBytes, identity: id, directory: VOLUME_CONTENT }),
    );
    const entry = this.#entry(id, record, status);
    this.#registry.add(entry);
    undo.commit();
    emitVolumeEvent(this.#options, entry, "create");
    return { entry, made: true };
  }

  #entry(id: string, record: VolumeRecord, status: VolumeStatus, recordFlaw?: string): VolumeEntry {
    const kind = volumeKind({ files: this.#objects, lock: this.#lock });
    return new VolumeEntry(kind, { id, record, status, recordFlaw });
  }

  async #growDisk(entry: VolumeEntry, sizeBytes: number): Promise<void> {
    const file = await open(this.path(entry.id), "r+");
    try {
      await file.truncate(sizeBytes);
      await file.sync();
    } catch (error) {
      throw KilnError.from(error, `grow volume ${entry.name}`);
    } finally {
      await file.close();
    }
    failpoint("volume.grown");
    await entry.setRecord({ ...entry.record, sizeBytes });
    emitVolumeEvent(this.#options, entry, "grow", { size: String(sizeBytes) });
  }

  /** That nobody has removed or cut its disk. */
  async #requireWhole(entry: VolumeEntry): Promise<void> {
    const file = await stat(this.path(entry.id)).catch(() => undefined);
    if (file?.isFile() === true && file.size >= entry.sizeBytes) return;
    const why =
      file === undefined
        ? "its disk is gone"
        : `its disk was cut to ${file.size} bytes of ${entry.sizeBytes}`;
    throw new KilnError(Code.FailedPrecondition, `volume ${entry.name} can't be used: ${why}`, {
      reason: "volume-damaged",
      hint: `bring ${this.path(entry.id)} back, or remove the volume with \`kiln volume rm ${entry.name}\``,
    });
  }
}

/** Of one group of ext4's blocks. */
const GROUP_BYTES = 128 * 1024 ** 2;
