// Another image that is mounted in the guest, for reading: the base that VMs of that image share.

import type { Abortable } from "../../base/progress.js";
import { requireBase } from "../disks/bases.js";
import type { GuestPart } from "../vm/boot-plan.js";
import type { Mount } from "../vm/mount-config.js";
import { DEFAULTS } from "../vm/vm-config.js";
import { diskSource, mountId } from "./mount-id.js";
import type { AttachedVm, AttachmentAt, AttachNeeds, GuestFacts, HeldMount, VmmPart } from "./types.js";

/** Of the bases that are mounted: that of VMs that ask for no other size, so that most images need one. */
export const IMAGE_MOUNT_BYTES = DEFAULTS.diskBytes;

export class ImageMount implements AttachmentAt<"prepare"> {
  readonly kind = "image";
  readonly id: string;
  readonly at = "prepare";
  readonly mount: HeldMount;
  readonly #vm: AttachedVm;
  readonly #wanted: Mount;
  readonly #needs: AttachNeeds;

  constructor(vm: AttachedVm, wanted: Mount, needs: AttachNeeds) {
    this.#vm = vm;
    this.#wanted = wanted;
    this.#needs = needs;
    this.id = wanted.target;
    this.mount = { target: wanted.target, id: mountId(wanted.target), state: "attached", message: "" };
  }

  plan(): VmmPart {
    const { base } = this.#wanted;
    return { disks: [{ id: this.mount.id, path: this.#needs.bases.path(base), readOnly: true }] };
  }

  /** The VM's record uses the base, as it does that of its own image. */
  async acquire({ signal }: Abortable): Promise<void> {
    const { bases, rooms } = this.#needs;
    const { source, imageId, base: key } = this.#wanted;
    const { name } = this.#vm.record.config;
    const known = { image: rooms.images.find(imageId), imageName: source, diskBytes: IMAGE_MOUNT_BYTES };
    await requireBase(bases, { name, key, ...known }, signal === undefined ? {} : { signal });
  }

  async adopt(): Promise<void> {
    // The VMM has it open.
  }

  guest({ serials }: GuestFacts): GuestPart {
    const { target, subpath } = this.#wanted;
    const source = { ...diskSource(serials, this.mount.id, target), filesystem: "ext4" };
    return { mounts: [{ id: this.mount.id, target, readOnly: true, subpath, source }] };
  }

  async release(): Promise<void> {
    // Nothing was taken.
  }

  async detach(): Promise<void> {
    // Nothing is in this process.
  }
}
