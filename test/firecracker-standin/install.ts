// Makes the stand-ins programs: `firecracker` and `jailer` in a directory of the test's.

import { chmod, cp, mkdir, realpath, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { hostTscKhz } from "../../src/vmm/host-tsc.js";

/** dist/, and what of it the stand-in imports. */
const DIST = fileURLToPath(new URL("../../", import.meta.url));
const PARTS = ["test/firecracker-standin", "src/vmm", "src/base"];

/** @returns its path */
export async function installStandin(directory: string): Promise<string> {
  // A copy: VMMs with a user of their own can't look into a checkout in root's home.
  const copy = join(directory, "standin");
  await mkdir(copy, { mode: 0o755 });
  for (const part of PARTS) await cp(join(DIST, part), join(copy, part), { recursive: true });
  await writeFile(join(copy, "package.json"), '{"type":"module"}');
  const main = join(copy, "test/firecracker-standin/main.js");
  const path = join(directory, "firecracker");
  const khz = await hostTscKhz(directory, async () => undefined);
  // Node's own path: the driver gives its VMM a PATH of its own.
  const tsc = khz === undefined ? "" : `FC_STANDIN_TSC_KHZ=${khz} `;
  // By its first word a process is known for a Firecracker whose record is lost.
  const command = `${tsc}exec -a firecracker '${process.execPath}' '${main}' "$@"`;
  await writeFile(path, `#!/bin/bash\n${command}\n`);
  await chmod(path, 0o755);
  return path;
}

/** What it needs in a jail besides the host's programs, as its real path; Node too where it is none of those. */
export async function standinFiles(directory: string): Promise<string[]> {
  const node = await realpath(process.execPath);
  return [await realpath(directory), ...(node.startsWith("/usr/") ? [] : [dirname(dirname(node))])];
}

/**
 * A jailer as strict about its words as the real one. It changes the user, and tells the stand-in which directory it is
 * to take for its root: a real change of root would hide Node and QEMU from it.
 */
const JAILER = `#!/bin/sh
set -eu
die() { echo "jailer: $1" >&2; exit 1; }
while [ $# -gt 0 ]; do
  case $1 in
    --id) id=$2 ;;
    --exec-file) file=$2 ;;
    --uid) uid=$2 ;;
    --gid) gid=$2 ;;
    --chroot-base-dir) base=$2 ;;
    --cgroup-version) grep -q cgroup2 /proc/mounts || die "cgroups v2 are not mounted" ;;
    --netns|--cgroup|--resource-limit|--parent-cgroup) : ;;
    --) shift; break ;;
    *) die "Found argument '$1' which wasn't expected" ;;
  esac
  shift 2
done
[ "$(id -u)" = 0 ] || die "not root"
case $id in *[!A-Za-z0-9-]*) die "Invalid instance ID" ;; esac
[ -f "$file" ] || die "$file is no file"
file=$(realpath "$file") # and names the chroot after that, as the real one
root=$base/$(basename "$file")/$id/root
mkdir -p "$root"
chown "$uid:$gid" "$root"
cd "$root"
exec setpriv --reuid="$uid" --regid="$gid" --clear-groups env FC_STANDIN_ROOT="$root" "$file" --id "$id" "$@"
`;

/** @returns its path */
export async function installJailer(directory: string): Promise<string> {
  const path = join(directory, "jailer");
  await writeFile(path, JAILER);
  await chmod(path, 0o755);
  return path;
}
