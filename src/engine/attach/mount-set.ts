// Mounts that are attached to a VM that runs, and taken away again. Each step is undone where a later one fails: the guest
// then has what it had.

import type { AgentSession } from "../../agent/types.js";
import { Code, hasReason, KilnError } from "../../base/errors.js";
import { failpoint } from "../../base/failpoint.js";
import { UndoStack } from "../../base/undo.js";
import type { VmmHandle } from "../../vmm/types.js";
import type { Mount } from "../vm/mount-config.js";
import type { RunMounts } from "../vm/run-view.js";
import type { AttachmentSet } from "./set.js";
import { VolumeMount } from "./volume.js";

export interface MountSetParts {
  readonly attached: AttachmentSet;
  readonly handle: VmmHandle;
  readonly session: (options: { timeoutMs: number }) => Promise<Pick<AgentSession, "mounts">>;
  /** The attachment of a mount that the VM is to have. */
  readonly make: (mount: Mount) => VolumeMount;
  /** Notes what the guest has made of a disk that had grown while nobody had it. Never fails. */
  readonly grow: (volume: VolumeMount) => Promise<void>;
}

/** A volume may be filled on the way, with gigabytes. */
const ATTACH_MS = 600_000;
const DETACH_MS = 60_000;
const SESSION_MS = 15_000;

export class MountSet implements RunMounts {
  readonly #parts: MountSetParts;
  /** Why the guest lacks what the record gives it, by the id of the mount. */
  readonly #lacking = new Map<string, string>();

  constructor(parts: MountSetParts) {
    this.#parts = parts;
  }

  stateOf(target: string) {
    const mount = this.#parts.attached.held.find(({ mount: held }) => held?.target === target)?.mount;
    const message = this.#lacking.get(mount?.id ?? "");
    return message === undefined ? mount : { state: "away" as const, message };
  }

  async add(mount: Mount): Promise<void> {
    const { attached, make, grow } = this.#parts;
    const volume = make(mount);
    await using undo = new UndoStack(() => undefined);
    await attached.add(volume, {});
    undo.push("let go of it", () => attached.remove(volume));
    await this.#give(volume, undo);
    await grow(volume);
    failpoint("mount.attached");
    undo.commit();
  }

  /**
   * Gives the guest what is held of its record and it lacks: a kilnd was killed while it attached or detached that. What
   * can't be given is away from then on.
   *
   * @returns the targets of those
   */
  async settle(): Promise<readonly string[]> {
    const { attached, session } = this.#parts;
    const volumes = attached.held.filter((one) => one instanceof VolumeMount);
    if (volumes.length === 0) return [];
    const { mounts } = await session({ timeoutMs: SESSION_MS });
    const there = new Set((await mounts.listMounts({ timeoutMs: SESSION_MS })).map(({ id }) => id));
    const lacking = volumes.filter(({ mount }) => !there.has(mount.id));
    for (const volume of lacking) {
      await using undo = new UndoStack(() => undefined);
      this.#lacking.set(volume.mount.id, "the VM has not been given it yet");
      await this.#give(volume, undo).catch((error: unknown) => {
        this.#lacking.set(volume.mount.id, KilnError.from(error).message);
        throw error;
      });
      this.#lacking.delete(volume.mount.id);
      undo.commit();
    }
    return lacking.map(({ mount }) => mount.target);
  }

  /** Its disk may be there already. */
  async #give(volume: VolumeMount, undo: UndoStack): Promise<void> {
    const { handle, session } = this.#parts;
    for (const disk of volume.plan().disks ?? []) {
      if (handle.disks.has(disk.id)) continue;
      await handle.attachDisk(disk);
      undo.push("take its disk away", () => handle.detachDisk(disk.id));
    }
    failpoint("mount.disk");
    const { mounts } = await session({ timeoutMs: SESSION_MS });
    for (const told of volume.guest({ serials: handle.disks }).mounts ?? []) {
      const { filled } = await mounts.attachMount(told, { timeoutMs: ATTACH_MS });
      undo.push("unmount it", () => mounts.detachMount(told.id, { timeoutMs: DETACH_MS }));
      if (filled) await volume.mount.filled?.();
    }
  }

  /** Does nothing where the guest has none at that target. */
  async remove(target: string): Promise<void> {
    const { attached, handle, session } = this.#parts;
    const held = attached.held.find((one) => one instanceof VolumeMount && one.mount.target === target);
    if (!(held instanceof VolumeMount)) return;
    const { mounts } = await session({ timeoutMs: SESSION_MS });
    await using undo = new UndoStack(() => undefined);
    await mounts.detachMount(held.mount.id, { timeoutMs: DETACH_MS }).catch((error: unknown) => {
      if (hasReason(error, "guest-not-found")) return; // an earlier try came so far
      throw hasReason(error, "guest-failed-precondition") ? inUse(target, error) : error;
    });
    undo.push("mount it again", async () => {
      const [told] = held.guest({ serials: handle.disks }).mounts ?? [];
      if (told !== undefined) await mounts.attachMount(told, { timeoutMs: ATTACH_MS });
    });
    failpoint("mount.unmounted");
    await handle.detachDisk(held.mount.id).catch((error: unknown) => {
      throw hasReason(error, "disk-is-fixed") ? isFixed(target, error) : error;
    });
    undo.commit();
    this.#lacking.delete(held.mount.id);
    await attached.remove(held);
  }
}

function isFixed(target: string, cause: unknown): KilnError {
  return new KilnError(
    Code.FailedPrecondition,
    `unmount ${target}: the VM was started with it, and keeps it until it is stopped`,
    { reason: "disk-is-fixed", hint: "stop the VM, detach it then, and start the VM again", cause },
  );
}

function inUse(target: string, cause: unknown): KilnError {
  const { message } = KilnError.from(cause);
  return new KilnError(Code.FailedPrecondition, `unmount ${target}: ${message}`, {
    reason: "mount-in-use",
    hint: "end the program that uses it first",
    cause,
  });
}
