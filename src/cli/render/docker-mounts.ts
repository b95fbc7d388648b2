// Mounts and limits of a VM under the names that `docker inspect` has.

import type { Mount, VmConfig, VmStatus } from "../../sdk/index.js";

/** `.Mounts`: what is mounted, a volume by its name. */
export function dockerMounts({ mounts }: Pick<VmStatus, "mounts">): object[] {
  return mounts.map(({ mount }) => {
    const { type, source, target, readOnly } = mount;
    const volume = type === "volume" ? { Name: source, Driver: "local" } : {};
    return {
      Type: type,
      ...volume,
      Source: type === "volume" ? "" : source,
      Destination: target,
      Mode: readOnly ? "ro" : "",
      RW: !readOnly,
      Propagation: type === "bind" ? "rprivate" : "",
    };
  });
}

/** Of `.HostConfig`: each mount once, where Docker's flag for it would have put it. */
export function dockerMountConfig(config: VmConfig): object {
  const { mounts } = config;
  const ofType = (...types: Mount["type"][]) => mounts.filter(({ type }) => types.includes(type));
  return {
    Binds: ofType("volume", "bind", "device").filter(isNamed).map(bindText),
    Mounts: ofType("image").map(({ type, source, target }) => ({
      ...{ Type: type, Source: source, Target: target, ReadOnly: true },
    })),
    Tmpfs: Object.fromEntries(ofType("tmpfs").map((mount) => [mount.target, tmpfsText(mount)])),
    ReadonlyRootfs: config.readOnlyRoot,
    ShmSize: config.shmBytes,
    Ulimits: config.ulimits.map(({ name, soft, hard }) => ({ Name: name, Soft: soft, Hard: hard })),
    Sysctls: config.sysctls,
  };
}

const isNamed = ({ source }: Mount) => source !== "";

function bindText({ source, target, readOnly }: Mount): string {
  return `${source}:${target}${readOnly ? ":ro" : ""}`;
}

function tmpfsText({ readOnly, noExec, sizeBytes, mode, uid, gid }: Mount): string {
  const words = [
    readOnly ? "ro" : "",
    noExec ? "noexec" : "",
    sizeBytes > 0 ? `size=${sizeBytes}` : "",
    mode > 0 ? `mode=${mode.toString(8)}` : "",
    uid > 0 ? `uid=${uid}` : "",
    gid > 0 ? `gid=${gid}` : "",
  ];
  return words.filter((word) => word !== "").join(",");
}
