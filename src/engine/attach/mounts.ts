// What of the host's files a VM is given, each mount by its type.

import { Code, KilnError } from "../../base/errors.js";
import { MOUNT_TYPES } from "../../base/mounts.js";
import type { ShareRoom } from "../common/rooms.js";
import type { Mount } from "../vm/mount-config.js";
import { describeMount } from "../vm/validate-mounts.js";
import { DeviceMount, requireDevice } from "./device.js";
import { ImageMount } from "./image-mount.js";
import { SharedDirectory, shareSpec } from "./share.js";
import { Tmpfs } from "./tmpfs.js";
import type { AttachedVm, Attachment, AttachmentAt, AttachmentKind, AttachNeeds } from "./types.js";
import { VolumeMount } from "./volume.js";

export const mounts: AttachmentKind = (vm, needs) =>
  vm.record.config.mounts.map((mount) => attachmentOf(vm, mount, needs));

/** @throws KilnError failed_precondition, where a VM with them could never be started */
export function requireMountable(wanted: readonly Mount[]): void {
  const refused = wanted.find(({ type }) => !MOUNT_TYPES.some((known) => known === type));
  if (refused !== undefined) throw refusalOf(refused);
}

/**
 * What they name on the host must be there: said before an image is fetched, not by the VM's start. It is looked at again
 * there.
 *
 * @throws KilnError as `ShareRoom.check`, as `DeviceMount.acquire`
 */
export async function requireSources(
  shares: Pick<ShareRoom, "check">,
  wanted: readonly Mount[],
): Promise<void> {
  for (const mount of wanted) {
    if (mount.type === "bind") await shares.check(shareSpec(mount));
    if (mount.type === "device") await requireDevice(mount.source);
  }
}

function attachmentOf(vm: AttachedVm, mount: Mount, needs: AttachNeeds): Attachment {
  if (mount.type === "tmpfs") return new Tmpfs(mount);
  if (mount.type === "volume") return new VolumeMount(vm, mount, needs);
  if (mount.type === "bind") return new SharedDirectory(vm, mount, needs.rooms.shares);
  if (mount.type === "image") return new ImageMount(vm, mount, needs);
  if (mount.type === "device") return new DeviceMount(mount);
  return new Refused(mount);
}

/** One that can't be had: the VM is not started, rather than without it. */
class Refused implements AttachmentAt<"prepare"> {
  readonly kind: string;
  readonly id: string;
  readonly at = "prepare";
  readonly #mount: Mount;

  constructor(mount: Mount) {
    this.#mount = mount;
    this.kind = mount.type;
    this.id = mount.target;
  }

  plan(): Record<string, never> {
    return {};
  }

  async acquire(): Promise<void> {
    throw refusalOf(this.#mount);
  }

  adopt(): Promise<void> {
    return this.acquire();
  }

  guest(): Record<string, never> {
    return {};
  }

  async release(): Promise<void> {
    // Nothing was taken.
  }

  async detach(): Promise<void> {
    // Nothing is in this process.
  }
}

function refusalOf(mount: Mount): KilnError {
  const what = `mount ${describeMount(mount)}: this kiln has no mounts of type ${mount.type}`;
  return new KilnError(Code.FailedPrecondition, what, {
    reason: "mount-not-supported",
    hint: "a newer kiln has made this VM",
  });
}
