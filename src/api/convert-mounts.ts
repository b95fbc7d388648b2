// Mounts and what bounds programs, between the engine's types and the wire's.

import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, KilnError } from "../base/errors.js";
import { MOUNT_TYPES } from "../base/mounts.js";
import { type Mount, type MountView, mountOf, type VmConfig, type VmView } from "../engine/index.js";
import type {
  MountSchema,
  MountStatusSchema,
  VmConfigSchema,
  VmConfig as WireConfig,
  Mount as WireMount,
} from "../gen/kiln/v1/types_pb.js";

type Limits = Pick<VmConfig, "mounts" | "readOnlyRoot" | "shmBytes" | "ulimits" | "sysctls">;

/** @throws KilnError invalid_argument `bad-mount` */
export function fromMounts(wire: WireConfig): Limits {
  return {
    mounts: wire.mounts.map(fromMount),
    readOnlyRoot: wire.readOnlyRoot,
    shmBytes: Number(wire.shmBytes),
    ulimits: wire.ulimits.map(({ name, soft, hard }) => ({ name, soft: Number(soft), hard: Number(hard) })),
    sysctls: wire.sysctls,
  };
}

/** @throws KilnError invalid_argument `bad-mount` */
export function fromMount(wire: WireMount): Mount {
  const type = MOUNT_TYPES.find((known) => known === (wire.type || "volume"));
  if (type === undefined) {
    throw new KilnError(Code.InvalidArgument, `mount "${wire.target}": there is no type "${wire.type}"`, {
      reason: "bad-mount",
      hint: `there are ${MOUNT_TYPES.join(", ")}`,
    });
  }
  const { source, target, readOnly, subpath, noCopy, mode, labels, soft, notify, idmap } = wire;
  const { noExec, uid, gid } = wire;
  const sizeBytes = Number(wire.sizeBytes);
  const words = { source, target, readOnly, subpath, noCopy, sizeBytes, mode, labels, soft, notify, idmap };
  return mountOf({ type, ...words, noExec, uid, gid });
}

export function toMounts(
  config: VmView["config"],
): Required<Pick<MessageInitShape<typeof VmConfigSchema>, "mounts" | "shmBytes" | "ulimits" | "sysctls">> {
  return {
    mounts: config.mounts.map((mount) => toMount(mount)),
    shmBytes: BigInt(config.shmBytes),
    ulimits: config.ulimits.map(({ name, soft, hard }) => ({ name, soft: BigInt(soft), hard: BigInt(hard) })),
    sysctls: { ...config.sysctls },
  };
}

function toMount(mount: VmView["config"]["mounts"][number]): MessageInitShape<typeof MountSchema> {
  const { type, source, target, readOnly, subpath, noCopy, mode, soft, notify, idmap, noExec, uid, gid } =
    mount;
  const words = {
    type,
    source,
    target,
    readOnly,
    subpath,
    noCopy,
    mode,
    soft,
    notify,
    idmap,
    noExec,
    uid,
    gid,
  };
  return { ...words, sizeBytes: BigInt(mount.sizeBytes), labels: { ...mount.labels } };
}

export function toMountStatuses({ mounts }: VmView): MessageInitShape<typeof MountStatusSchema>[] {
  return mounts.map(toMountStatus);
}

export function toMountStatus({
  mount,
  state,
  message,
}: MountView): MessageInitShape<typeof MountStatusSchema> {
  return { mount: toMount(mount), state, message };
}
