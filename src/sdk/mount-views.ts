// Mounts and limits of the wire as the SDK's nouns.

import { NO_MOUNT } from "../base/mounts.js";
import type { MountJson, MountStatusJson, VmConfigJson } from "../gen/kiln/v1/types_pb.js";
import type { Mount, MountStatus } from "./mount-types.js";
import type { VmConfig } from "./types.js";

/** What of a configuration is about mounts and limits. */
export function mountsFromJson(
  json: VmConfigJson,
): Pick<VmConfig, "mounts" | "readOnlyRoot" | "shmBytes" | "ulimits" | "sysctls"> {
  return {
    mounts: (json.mounts ?? []).map(mountFromJson),
    readOnlyRoot: json.readOnlyRoot ?? false,
    shmBytes: Number(json.shmBytes ?? 0),
    ulimits: (json.ulimits ?? []).map(({ name = "", soft = 0, hard = 0 }) => ({
      name,
      soft: Number(soft),
      hard: Number(hard),
    })),
    sysctls: json.sysctls ?? {},
  };
}

function mountFromJson({ type, sizeBytes, ...words }: MountJson): Mount {
  return {
    ...NO_MOUNT,
    ...words,
    type: (type || "volume") as Mount["type"],
    sizeBytes: Number(sizeBytes ?? 0),
  };
}

/** A MountStatus message. */
export function mountStatusFromJson({ mount = {}, state, message }: MountStatusJson): MountStatus {
  return {
    mount: mountFromJson(mount),
    state: (state || "detached") as MountStatus["state"],
    message: message ?? "",
  };
}
