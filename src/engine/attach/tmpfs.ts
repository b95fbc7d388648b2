// A file system in the guest's memory. The host has nothing of it.

import type { GuestPart } from "../vm/boot-plan.js";
import type { Mount } from "../vm/mount-config.js";
import { mountId } from "./mount-id.js";
import type { AttachmentAt, HeldMount } from "./types.js";

export class Tmpfs implements AttachmentAt<"prepare"> {
  readonly kind = "tmpfs";
  readonly id: string;
  readonly at = "prepare";
  readonly mount: HeldMount;
  readonly #wanted: Mount;

  constructor(wanted: Mount) {
    this.#wanted = wanted;
    this.id = wanted.target;
    this.mount = { target: wanted.target, id: mountId(wanted.target), state: "attached", message: "" };
  }

  plan(): Record<string, never> {
    return {};
  }

  async acquire(): Promise<void> {
    // It is made by the guest.
  }

  async adopt(): Promise<void> {
    // It is in the guest.
  }

  guest(): GuestPart {
    const { target, readOnly, sizeBytes, mode, noExec, uid, gid } = this.#wanted;
    const source = { kind: "tmpfs" as const, sizeBytes, mode, noExec, uid, gid };
    return { mounts: [{ id: this.mount.id, target, readOnly, source }] };
  }

  async release(): Promise<void> {
    // It has gone with the guest.
  }

  async detach(): Promise<void> {
    // Nothing is in this process.
  }
}
