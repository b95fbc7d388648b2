// A volume that is mounted in the guest: a disk of its own life, which one VM writes or any number read.

import { open } from "node:fs/promises";
import { Code, KilnError } from "../../base/errors.js";
import type { GuestPart } from "../vm/boot-plan.js";
import type { Mount } from "../vm/mount-config.js";
import { VOLUME_CONTENT } from "../volumes/entry.js";
import { emitVolumeEvent } from "../volumes/volume-events.js";
import { diskSource, mountId } from "./mount-id.js";
import type { AttachedVm, AttachmentAt, AttachNeeds, GuestFacts, HeldMount, VmmPart } from "./types.js";

export class VolumeMount implements AttachmentAt<"prepare"> {
  readonly kind = "volume";
  readonly id: string;
  readonly at = "prepare";
  readonly mount: HeldMount;
  readonly #vm: Pick<AttachedVm, "record">;
  readonly #wanted: Mount;
  readonly #needs: AttachNeeds;
  /** Of the disk. What is to be read alone may have to be repaired first, by the guest's kernel. */
  #readOnly: boolean;
  #release: () => void = () => undefined;

  constructor(vm: Pick<AttachedVm, "record">, wanted: Mount, needs: AttachNeeds) {
    this.#vm = vm;
    this.#wanted = wanted;
    this.#needs = needs;
    this.#readOnly = wanted.readOnly;
    this.id = wanted.target;
    this.mount = {
      ...{ target: wanted.target, id: mountId(wanted.target), state: "attached", message: "" },
      filled: () => needs.volumes.markFilled(wanted.volumeId),
      growsTo: () => {
        const volume = this.#readOnly ? undefined : needs.volumes.get(wanted.volumeId);
        return volume?.isToGrow === true ? volume.sizeBytes : undefined;
      },
      grown: (bytes) => needs.volumes.noteFilesystem(wanted.volumeId, bytes),
    };
  }

  plan(): VmmPart {
    const path = this.#needs.volumes.path(this.#wanted.volumeId);
    return { disks: [{ id: this.mount.id, path, readOnly: this.#readOnly }] };
  }

  /** @throws KilnError failed_precondition `volume-busy`, `volume-damaged`, not_found `volume-not-found` */
  async acquire(): Promise<void> {
    const { volumes, ownership } = this.#needs;
    const { volumeId, readOnly } = this.#wanted;
    const path = volumes.path(volumeId);
    this.#readOnly = readOnly;
    const release = await volumes.use(volumeId, this.#holder());
    try {
      if (readOnly && (await isUnclean(path))) {
        release();
        this.#readOnly = false;
        this.#release = await volumes.use(volumeId, this.#holder());
      } else {
        this.#release = release;
      }
      if (readOnly) await volumes.noteRepair(volumeId, this.#vm.record.id, !this.#readOnly);
      await ownership.lend(path, this.#vm.record.uid, { readOnly: this.#readOnly });
    } catch (error) {
      release();
      await this.detach();
      throw KilnError.from(error, `have volume ${this.#wanted.source || volumeId} ready`);
    }
    this.#tell("mount");
  }

  async adopt(): Promise<void> {
    // Its disk may be writable though its mount is not: nobody else may have it then.
    const repairedBy = this.#needs.volumes.get(this.#wanted.volumeId)?.status.repairedBy;
    this.#readOnly = this.#wanted.readOnly && repairedBy !== this.#vm.record.id;
    this.#release = this.#needs.volumes.adopt(this.#wanted.volumeId, this.#holder());
  }

  #holder() {
    const { id, config } = this.#vm.record;
    return { vm: id, name: config.name, readOnly: this.#readOnly };
  }

  guest({ serials }: Pick<GuestFacts, "serials">): GuestPart {
    const { target, readOnly, subpath, noCopy, volumeId } = this.#wanted;
    const isEmpty = this.#needs.volumes.get(volumeId)?.isEmpty === true;
    const fill = isEmpty && !readOnly && !noCopy && subpath === "";
    const source = { ...diskSource(serials, this.mount.id, target), filesystem: "ext4", fill };
    const inside = subpath === "" ? VOLUME_CONTENT : `${VOLUME_CONTENT}/${subpath}`;
    return { mounts: [{ id: this.mount.id, target, readOnly, subpath: inside, source }] };
  }

  async release(): Promise<void> {
    await this.detach();
    this.#tell("unmount");
  }

  async detach(): Promise<void> {
    this.#release();
    this.#release = () => undefined;
  }

  #tell(action: "mount" | "unmount"): void {
    const { target, readOnly, volumeId } = this.#wanted;
    const volume = this.#needs.volumes.get(volumeId);
    if (volume === undefined) return;
    const { name } = this.#vm.record.config;
    emitVolumeEvent(this.#needs, volume, action, { vm: name, target, readOnly: String(readOnly) });
  }
}

/** Of ext4's superblock: the journal holds what is not in its place yet. Nothing else of the file is looked at here. */
const INCOMPAT_AT = 1024 + 0x60;
const RECOVER = 0x4;

/**
 * Whether its last writer ended without unmounting it: a guest that may only read could not mount it then, as a journal is
 * played by a guest's kernel and never by the host.
 */
async function isUnclean(path: string): Promise<boolean> {
  const file = await open(path, "r");
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, INCOMPAT_AT);
    return bytesRead === 4 && (buffer.readUInt32LE(0) & RECOVER) !== 0;
  } catch (error) {
    throw new KilnError(Code.FailedPrecondition, `read ${path}`, { reason: "volume-damaged", cause: error });
  } finally {
    await file.close();
  }
}
