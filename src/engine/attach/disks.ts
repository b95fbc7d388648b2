// What a VM boots from: the base that it shares, the cow that is its own, and its kernel's modules.

import type { Abortable } from "../../base/progress.js";
import { cowBase, requireBase } from "../disks/bases.js";
import type { BootDisks } from "../disks/disk-set.js";
import type { GuestPart } from "../vm/boot-plan.js";
import type { VmRecord } from "../vm/record.js";
import type { AttachmentAt, AttachmentKind, AttachNeeds, GuestFacts, PlanFacts, VmmPart } from "./types.js";

export const bootDisks: AttachmentKind = ({ record }, needs) => [new BootDisk(record, needs)];

/** 64 KiB chunks: near-native writes, and eleven times faster trims than 4 KiB. */
const CHUNK_SECTORS = 128;

class BootDisk implements AttachmentAt<"prepare"> {
  readonly kind = "disk";
  readonly id = "root";
  readonly at = "prepare";
  readonly #record: VmRecord;
  readonly #needs: AttachNeeds;

  constructor(record: VmRecord, needs: AttachNeeds) {
    this.#record = record;
    this.#needs = needs;
  }

  plan({ modules }: PlanFacts): VmmPart {
    return { boot: { ...this.#paths(), modules } };
  }

  #paths(): BootDisks {
    const { bases, store } = this.#needs;
    const { base, id } = this.#record;
    // Where all that names it is lost the VM is not started, but one that runs is taken over.
    return { base: base === "" ? "" : bases.path(base), cow: store.cowPath(id) };
  }

  /** What the VM's record says uses the base: nobody removes it, and there is nothing to let go of. */
  async acquire({ signal }: Abortable): Promise<void> {
    const { bases, rooms } = this.#needs;
    const { config, base: key } = this.#record;
    const { name, imageId, image, diskBytes } = config;
    const known = { image: rooms.images.find(imageId || image), imageName: image || imageId, diskBytes };
    const base = await requireBase(bases, { name, key, ...known }, { signal });
    await rooms.disks.checkCow(this.#paths().cow, cowBase(base));
  }

  async adopt(): Promise<void> {
    // The VMM has them open: their loss must not cost a VM that runs.
  }

  guest({ disks, serials }: GuestFacts): GuestPart {
    // The devices go along: an agent of before finds the disks by them, and any agent where there is no serial.
    const serialOf = (id: string) => serials.get(id) ?? "";
    const { root, modules } = disks;
    return {
      root: {
        baseDevice: disks.deviceHint(root.base),
        cowDevice: disks.deviceHint(root.cow),
        persistent: !this.#record.config.autoRemove,
        chunkSectors: CHUNK_SECTORS,
        baseSerial: serialOf(root.base),
        cowSerial: serialOf(root.cow),
      },
      ...(modules === undefined
        ? {}
        : { modules: { device: disks.deviceHint(modules), serial: serialOf(modules) } }),
    };
  }

  async release(): Promise<void> {
    // Nothing was taken.
  }

  async detach(): Promise<void> {
    // Nothing is in this process.
  }
}
