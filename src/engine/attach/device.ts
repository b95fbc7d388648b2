// A block device of the host: what is on it is mounted in the guest, or where the target lies below /dev it is a device there.

import { constants } from "node:fs";
import { type FileHandle, open, realpath, stat } from "node:fs/promises";
import { Code, errnoOf, KilnError } from "../../base/errors.js";
import type { GuestPart } from "../vm/boot-plan.js";
import type { Mount } from "../vm/mount-config.js";
import { diskSource, mountId } from "./mount-id.js";
import type { AttachmentAt, GuestFacts, HeldMount, VmmPart } from "./types.js";

export class DeviceMount implements AttachmentAt<"prepare"> {
  readonly kind = "device";
  readonly id: string;
  readonly at = "prepare";
  readonly mount: HeldMount;
  readonly #wanted: Mount;
  /** Without links: names below /dev/disk are links to what the kernel calls it at this boot of the host. */
  #path: string;
  /** Held open for this VM alone: nobody can mount it on the host meanwhile, nor give it to another VM. */
  #held: FileHandle | undefined;

  constructor(wanted: Mount) {
    this.#wanted = wanted;
    this.#path = wanted.source;
    this.id = wanted.target;
    this.mount = { target: wanted.target, id: mountId(wanted.target), state: "attached", message: "" };
  }

  plan(): VmmPart {
    const { readOnly } = this.#wanted;
    return { disks: [{ id: this.mount.id, path: this.#path, readOnly, device: true }] };
  }

  /** @throws KilnError failed_precondition `device-busy`, `not-a-block-device`; not_found `no-such-file`; permission_denied */
  async acquire(): Promise<void> {
    const { source, readOnly } = this.#wanted;
    try {
      this.#path = await realpath(source);
      this.#held = await open(this.#path, how(readOnly));
      if (!(await this.#held.stat()).isBlockDevice()) throw notBlock(source);
    } catch (error) {
      await this.release();
      throw errnoOf(error) === "EBUSY"
        ? busy(source, error)
        : KilnError.from(error, `open the device ${source}`);
    }
  }

  /** The VMM has it open. Where somebody has taken it for himself meanwhile, which he could not have before, it is his. */
  async adopt(): Promise<void> {
    this.#path = await realpath(this.#wanted.source).catch(() => this.#wanted.source);
    this.#held = await open(this.#path, how(this.#wanted.readOnly)).catch(() => undefined);
  }

  guest({ serials }: GuestFacts): GuestPart {
    const { target, readOnly } = this.#wanted;
    const source = { ...diskSource(serials, this.mount.id, target), node: target.startsWith("/dev/") };
    return { mounts: [{ id: this.mount.id, target, readOnly, source }] };
  }

  async release(): Promise<void> {
    const held = this.#held;
    this.#held = undefined;
    await held?.close();
  }

  detach(): Promise<void> {
    return this.release();
  }
}

/**
 * That there is one, whoever has it at this moment.
 *
 * @throws KilnError as `acquire`, but for `device-busy`
 */
export async function requireDevice(source: string): Promise<void> {
  const found = await stat(source).catch((error: unknown) => {
    throw KilnError.from(error, `open the device ${source}`);
  });
  if (!found.isBlockDevice()) throw notBlock(source);
}

/** O_EXCL of a block device: refused where it is mounted, or held so by another. O_NONBLOCK: a FIFO must not be waited for. */
function how(readOnly: boolean): number {
  const { O_RDONLY, O_RDWR, O_EXCL, O_NONBLOCK, O_NOFOLLOW } = constants;
  return (readOnly ? O_RDONLY : O_RDWR) | O_EXCL | O_NONBLOCK | O_NOFOLLOW;
}

function busy(source: string, cause: unknown): KilnError {
  return new KilnError(
    Code.FailedPrecondition,
    `the device ${source} is in use on this host, or by another VM`,
    {
      reason: "device-busy",
      hint: "unmount it first; `lsblk` and `kiln ps -a` show who has it",
      cause,
    },
  );
}

function notBlock(source: string): KilnError {
  return new KilnError(Code.FailedPrecondition, `${source} is no block device`, {
    reason: "not-a-block-device",
    hint: "other devices of the host are not passed through",
  });
}
