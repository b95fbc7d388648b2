// What the mounts of a new VM name: volumes and images, found or made, and kept until the VM's record uses them.

import { Code, hasReason, KilnError } from "../../base/errors.js";
import type { UndoStack } from "../../base/undo.js";
import type { StoredImage } from "../../image/types.js";
import { IMAGE_MOUNT_BYTES } from "../attach/image-mount.js";
import type { WorkOptions } from "../common/shared-work.js";
import { baseKeyOf } from "../disks/bases.js";
import { type Keeping, leaseFound } from "../objects/lease-found.js";
import type { Mount } from "../vm/mount-config.js";
import type { VolumeEntry } from "../volumes/entry.js";
import { volumeRef } from "../volumes/entry.js";
import type { EngineContext } from "./context.js";

export interface TakingMounts extends WorkOptions {
  readonly keeping: Keeping;
  /** Takes away what was made for a VM that is not made. */
  readonly undo: UndoStack;
  /** Finds an image, or fetches it where that may be. */
  readonly takeImage: (name: string) => Promise<StoredImage>;
}

/**
 * The mounts with the ids of what they name.
 *
 * @throws KilnError as `Volumes.take`, not_found `volume-not-found` for an id, invalid_argument `volume-twice`, what pull and
 *   build say
 */
export async function takeMounts(
  ctx: EngineContext,
  mounts: readonly Mount[],
  how: TakingMounts,
): Promise<Mount[]> {
  const taken: Mount[] = [];
  // One after the other: two may name the same volume.
  for (const mount of mounts) {
    if (mount.type === "volume") taken.push(await takeVolume(ctx, mount, how));
    else if (mount.type === "image") taken.push(await takeImageMount(ctx, mount, how));
    else taken.push(mount);
  }
  checkOnce(taken);
  return taken;
}

/**
 * Each is a disk of its own in the guest, whose kernel would hold two file systems on one volume, and destroy it.
 *
 * @throws KilnError invalid_argument `volume-twice`
 */
export function checkOnce(taken: readonly Mount[]): void {
  const seen = new Map<string, Mount>();
  for (const mount of taken.filter(({ volumeId }) => volumeId !== "")) {
    const other = seen.get(mount.volumeId);
    seen.set(mount.volumeId, mount);
    if (other === undefined || (other.readOnly && mount.readOnly)) continue;
    throw new KilnError(
      Code.InvalidArgument,
      `volume ${mount.source} can't be both at ${other.target} and at ${mount.target}: a VM that writes to it has it once`,
      {
        reason: "volume-twice",
        hint: "mount it at one of them and link the other there, or add :ro to both",
      },
    );
  }
}

const VOLUME_ID = /^[0-9a-f]{64}$/;

/** @throws KilnError as takeMounts */
export async function takeVolume(
  { volumes }: EngineContext,
  mount: Mount,
  { keeping, undo }: Pick<TakingMounts, "keeping" | "undo">,
): Promise<Mount> {
  const { source, sizeBytes, labels } = mount;
  if (VOLUME_ID.test(source)) {
    const { id } = await leaseFound(keeping, {
      find: async () => volumes.find(source),
      refOf: ({ id }) => volumeRef(id),
      isHere: ({ removing }) => !removing,
    });
    return { ...mount, volumeId: id };
  }
  const { entry, made } = await volumes.take({ name: source, sizeBytes, labels }, keeping);
  if (made) undo.push(`remove volume ${entry.name}`, () => removeUnused({ volumes }, entry));
  return { ...mount, volumeId: entry.id };
}

async function takeImageMount(ctx: EngineContext, mount: Mount, how: TakingMounts): Promise<Mount> {
  const image = await how.takeImage(mount.source);
  const { references, leases, why, signal } = how.keeping;
  const id = baseKeyOf(image, IMAGE_MOUNT_BYTES);
  const lease = await references.leaseAfterRemoval({ noun: "base", id }, why, signal);
  leases.push("let go of a mount's base", lease.release);
  await ctx.bases.ensure(image, IMAGE_MOUNT_BYTES, how);
  return { ...mount, imageId: image.id, base: id, readOnly: true };
}

/** Those that were made for a VM which names none, where nobody else uses them. */
export async function removeAnonymous(ctx: EngineContext, mounts: readonly Mount[]): Promise<void> {
  for (const { type, source, volumeId } of mounts) {
    const entry = type === "volume" && source === "" ? ctx.volumes.get(volumeId) : undefined;
    if (entry?.anonymous === true) await removeUnused(ctx, entry);
  }
}

/** Somebody may have come to use it meanwhile: then it is theirs. */
async function removeUnused({ volumes }: Pick<EngineContext, "volumes">, entry: VolumeEntry): Promise<void> {
  await volumes.remove(entry).catch((error: unknown) => {
    if (!hasReason(error, "volume-in-use") && !hasReason(error, "being-removed")) throw error;
  });
}
