// The file system of a volume that a VM writes to grows while it does.

import { KilnError } from "../../base/errors.js";
import { mountId } from "../attach/mount-id.js";
import type { EngineContext } from "../run/context.js";
import { runningSession } from "../run/vm-access.js";
import type { VmEntry } from "../vm/entry.js";
import type { VolumeEntry } from "../volumes/entry.js";
import type { Holder } from "../volumes/holders.js";

/** Of a file system that is written to all the while. */
const GROW_MS = 120_000;

/**
 * Tells the VMM of the disk's new size, and the guest's agent to grow what is on it.
 *
 * @returns the file system's bytes; undefined of a VM on its way up or down, whose next boot does it
 * @throws KilnError `grow-unfinished`: the disk has grown all the same
 */
export async function growMounted(
  ctx: Pick<EngineContext, "vms" | "volumes">,
  volume: VolumeEntry,
  writer: Holder,
): Promise<number | undefined> {
  const vm = ctx.vms.get(writer.vm);
  const mount = vm?.record.config.mounts.find(
    ({ volumeId, readOnly }) => volumeId === volume.id && !readOnly,
  );
  if (vm?.live === undefined || mount === undefined) return undefined;
  const disk = { id: mountId(mount.target), path: ctx.volumes.path(volume.id), readOnly: false };
  try {
    const session = await runningSession(vm, "grow a volume of");
    await vm.live?.handle.growDisk(disk);
    const options = { diskBytes: volume.sizeBytes, timeoutMs: GROW_MS };
    return Number((await session.mounts.growMount(disk.id, options)).sizeBytes);
  } catch (error) {
    throw unfinished(volume, vm, KilnError.from(error));
  }
}

function unfinished(volume: VolumeEntry, vm: VmEntry, cause: KilnError): KilnError {
  const what = `volume ${volume.name} has its new size, but its file system has not grown in VM ${vm.name}`;
  return new KilnError(cause.code, `${what}: ${cause.message}`, {
    reason: "grow-unfinished",
    hint: `it grows when VM ${vm.name} goes on or starts; or try again`,
    details: { vm: vm.id },
    cause,
  });
}
