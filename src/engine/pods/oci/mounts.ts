// What a container sees in its file tree beside its root: what every one has, the pod's own files, and what was asked for.

import { posix } from "node:path";
import { Code, KilnError } from "../../../base/errors.js";
import type { ContainerMount, ContainerSecurity, Propagation } from "../containers/spec.js";
import type { OciMount } from "./types.js";

/** The pod's own files in the guest, each bound where a container does not bring one of its own. */
export interface PodFiles {
  readonly hosts: string;
  readonly resolvConf: string;
  readonly hostname: string;
  /** /dev/shm of all of the pod's containers. */
  readonly shm: string;
}

const OPTIONS = ["noexec", "nodev", "nosuid", "exec", "dev", "suid"];
const FLAGS: Readonly<Record<Propagation, string>> = {
  private: "rprivate",
  "host-to-container": "rslave",
  bidirectional: "rshared",
};
/** Where nothing may be mounted: crun's own, or all of the container. */
const NEVER = ["/", "/proc"];

/**
 * In the order in which they are made: parents first, else as they were asked for. What was asked for stands in place of
 * what every container has; a /dev of its own, in place of all that is below.
 *
 * @throws KilnError invalid_argument `bad-mount`
 */
export function planMounts(
  asked: readonly ContainerMount[],
  files: PodFiles,
  { privileged, readOnlyRoot }: Pick<ContainerSecurity, "privileged" | "readOnlyRoot">,
): OciMount[] {
  const wanted = asked.map(planMount);
  const taken = new Set(wanted.map(({ destination }) => destination));
  const isFree = ({ destination }: OciMount) =>
    !taken.has(destination) && !(destination.startsWith("/dev/") && taken.has("/dev"));
  const access = readOnlyRoot ? "ro" : "rw";
  const own = [
    bind(files.shm, "/dev/shm", ["nosuid", "nodev", "noexec"]),
    bind(files.hosts, "/etc/hosts", [access]),
    bind(files.resolvConf, "/etc/resolv.conf", [access]),
    bind(files.hostname, "/etc/hostname", [access]),
  ];
  const others = [...own.filter(isFree), ...wanted];
  // The sort is stable.
  others.sort((one, other) => depthOf(one.destination) - depthOf(other.destination));
  return [...kernels(privileged).filter(isFree), ...others];
}

/** Undefined: nothing of what is mounted later outside has to show inside, or the other way round. */
export function rootPropagation(asked: readonly ContainerMount[]): string | undefined {
  if (asked.some(({ propagation }) => propagation === "bidirectional")) return "rshared";
  return asked.some(({ propagation }) => propagation === "host-to-container") ? "rslave" : undefined;
}

/** What the kernel shows. */
function kernels(privileged: boolean): OciMount[] {
  const safe = ["nosuid", "noexec", "nodev"];
  const shown = [...safe, "relatime", privileged ? "rw" : "ro"];
  const mount = (destination: string, type: string, options: readonly string[]) => ({
    ...{ destination, type, source: type, options },
  });
  return [
    mount("/proc", "proc", safe),
    mount("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    mount("/dev/pts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
    mount("/dev/mqueue", "mqueue", safe),
    mount("/sys", "sysfs", shown),
    mount("/sys/fs/cgroup", "cgroup", shown),
  ];
}

function planMount(mount: ContainerMount): OciMount {
  const target = posix.normalize(mount.target).replace(/(?<=.)\/$/, "");
  if (!posix.isAbsolute(target) || mount.target.includes("\0") || NEVER.includes(target))
    throw bad(mount, "is no place for a mount");
  if (mount.recursiveReadOnly && !mount.readOnly) throw bad(mount, "is recursively read-only, but writable");
  if (mount.recursiveReadOnly && mount.propagation !== "private") {
    throw bad(mount, "is recursively read-only, which takes a private propagation");
  }
  const odd = mount.options.find((option) => !OPTIONS.includes(option));
  if (odd !== undefined) throw bad(mount, `has the option "${odd}", which nobody knows`);
  const access = mount.recursiveReadOnly ? ["ro", "rro"] : [mount.readOnly ? "ro" : "rw"];
  return bind(mount.source, target, [...access, ...mount.options], FLAGS[mount.propagation]);
}

function bind(source: string, destination: string, options: readonly string[], flag = "rprivate"): OciMount {
  return { destination, type: "bind", source, options: ["rbind", flag, ...options] };
}

function depthOf(path: string): number {
  return path.split("/").length;
}

function bad({ target }: ContainerMount, why: string): KilnError {
  return new KilnError(Code.InvalidArgument, `the container's mount at "${target}" ${why}`, {
    reason: "bad-mount",
  });
}
