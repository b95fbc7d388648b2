// Device nodes of a VM's own, where only root may open the host's: in a mount namespace around its jail, on the names of the
// host's nodes. Nobody else sees them, and they go with the VMM. Plan.

import { stat } from "node:fs/promises";

/** A node of the host's that the VM's user may not open. */
export interface ClosedDevice {
  readonly path: string;
  readonly major: number;
  readonly minor: number;
}

/** What a VMM needs to open a device: groups, or a node of its own. */
export interface DeviceAccess {
  readonly groups: readonly number[];
  readonly closed: readonly ClosedDevice[];
}

const NEEDS_NOTHING: DeviceAccess = { groups: [], closed: [] };

/** @param runAs the VM's own user; undefined where VMMs are kilnd's user, who opens it or does not */
export async function accessTo(
  path: string,
  runAs: { readonly uid: number } | undefined,
): Promise<DeviceAccess> {
  const node = await stat(path).catch(() => undefined);
  if (runAs === undefined || node?.isCharacterDevice() !== true) return NEEDS_NOTHING;
  const { gid, mode, rdev } = node;
  if ((mode & 0o006) === 0o006) return NEEDS_NOTHING;
  // root's own group would open far more than that.
  if (gid !== 0 && (mode & 0o060) === 0o060) return { groups: [gid], closed: [] };
  return { groups: [], closed: [{ path, major: majorOf(rdev), minor: minorOf(rdev) }] };
}

/** As glibc's major(3) and minor(3) take a number apart. */
const majorOf = (rdev: number): number => (rdev >>> 8) & 0xfff;
const minorOf = (rdev: number): number => (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);

/**
 * The words around a command that give it the nodes; its pid is the command's. Pure.
 *
 * @param directory an empty one of kilnd's, which the nodes are mounted on: file systems of others may take no nodes
 */
export function planOwnDevices(
  argv: readonly string[],
  { closed, owner, directory }: { closed: readonly ClosedDevice[]; owner: number; directory: string },
): readonly string[] {
  if (closed.length === 0) return argv;
  const nodes = closed.flatMap(({ major, minor }, index) => {
    const node = `"$d"/${index}`;
    return [
      `mknod -m 600 ${node} c ${major} ${minor}`,
      `chown ${owner} ${node}`,
      `mount --bind ${node} "$${index + 2}"`,
    ];
  });
  const script = [
    "d=$1",
    'mount -t tmpfs -o mode=0700,size=64k,nosuid,noexec kiln "$d"',
    ...nodes,
    `shift ${closed.length + 1}`,
    'exec "$@"',
  ].join(" && ");
  const names = [directory, ...closed.map(({ path }) => path)];
  // slave: what the host unmounts goes here too.
  return ["unshare", "--mount", "--propagation", "slave", "--", "sh", "-c", script, "sh", ...names, ...argv];
}
