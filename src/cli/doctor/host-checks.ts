// The host: processor, Node, memory, disk, and the places where kiln keeps things.

import { existsSync } from "node:fs";
import { access, constants, mkdtemp, readFile, rmdir, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { KilnError } from "../../base/errors.js";
import { lockInKernel } from "../../base/kernel-lock.js";
import { kilnPaths, MAX_SOCKET_PATH } from "../../base/paths.js";
import { makeTrustedDirectory, refuseSharedRoot } from "../../base/trusted-path.js";
import { formatMemory, formatSize } from "../../base/units.js";
import { type Finding, failure, ok, warning } from "./check.js";

const GIB = 1024 ** 3;
const LEAST_NODE = [20, 19] as const;

/** Operating system and processor. */
export function checkPlatform(platform: string, arch: string): Finding {
  const found = `${platform}/${arch}`;
  if (platform === "linux" && arch === "x64") return ok("platform", found);
  if (platform === "linux" && arch === "arm64") {
    return warning("platform", found, "arm64 is not tested: expect surprises");
  }
  return failure("platform", found, "kiln runs on Linux on x86-64");
}

/** The Node that runs this. */
export function checkNode(version: string): Finding {
  const [major = 0, minor = 0] = version.replace(/^v/, "").split(".").map(Number);
  const fine = major > LEAST_NODE[0] || (major === LEAST_NODE[0] && minor >= LEAST_NODE[1]);
  return fine
    ? ok("node", version)
    : failure("node", version, `install Node ${LEAST_NODE.join(".")} or newer`);
}

/** Memory that VMs can be given. */
export async function checkMemory(): Promise<Finding> {
  const text = await readFile("/proc/meminfo", "utf8").catch(() => "");
  const available = Number(/^MemAvailable:\s+(\d+) kB$/m.exec(text)?.[1] ?? Number.NaN) * 1024;
  if (Number.isNaN(available)) return warning("memory", "/proc/meminfo cannot be read", "is /proc mounted?");
  const found = `${formatMemory(available)} available`;
  if (available >= GIB) return ok("memory", found);
  const few = "a VM takes about 200 MiB plus what its program uses: give VMs less with -m, or free some";
  return available < GIB / 4 ? failure("memory", found, few) : warning("memory", found, few);
}

/** Room for images and disks, and the right to use it. */
export async function checkDisk(env: NodeJS.ProcessEnv, uid: number): Promise<Finding> {
  const { data } = kilnPaths(env, uid);
  const place = existingParent(data);
  const fs = await statfs(place);
  const free = fs.bavail * fs.bsize;
  const found = `${formatSize(free)} free for ${data}`;
  try {
    await access(place, constants.W_OK);
  } catch {
    return failure(
      "disk",
      `${place} cannot be written`,
      `make ${data} yours, or set KILN_ROOT to a place that is`,
    );
  }
  if (free >= 5 * GIB) return ok("disk", found);
  return free < GIB
    ? failure("disk", found, "free at least 1 GB, or set KILN_ROOT to a larger disk")
    : warning("disk", found, "images take gigabytes: free some, or set KILN_ROOT to a larger disk");
}

/** Whether one kilnd can keep another one out that sees none of its processes (of a container): tried where data is. */
export async function checkLocks(env: NodeJS.ProcessEnv, uid: number, program?: string): Promise<Finding> {
  const place = existingParent(kilnPaths(env, uid).data);
  const directory = await mkdtemp(join(place, ".kiln-doctor-")).catch(() => undefined);
  // What keeps it from being written another line says.
  if (directory === undefined) return ok("locks", `not tried: ${place} can't be written`);
  try {
    const lock = await lockInKernel(directory, program);
    await lock?.release();
    if (lock?.flaw === undefined) return ok("locks", `flock works on ${place}`);
    return warning(
      "locks",
      `the kernel locks nothing on ${place}: ${lock.flaw}`,
      "install util-linux, and keep KILN_ROOT on a file system with flock: else a second kilnd in a container is not kept out",
    );
  } finally {
    await rmdir(directory);
  }
}

function existingParent(path: string): string {
  let at = path;
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at);
  return at;
}

/** Where kilnd's socket goes: short enough, and ours to make. */
export async function checkSocket(socket: string): Promise<Finding> {
  const length = Buffer.byteLength(socket);
  if (length > MAX_SOCKET_PATH) {
    return failure(
      "socket",
      `${socket} has ${length} bytes`,
      `a socket's path has at most ${MAX_SOCKET_PATH}`,
    );
  }
  const directory = dirname(socket);
  try {
    if (process.env.KILN_ROOT) await refuseSharedRoot(process.env.KILN_ROOT);
    await makeTrustedDirectory(directory);
    await access(directory, constants.W_OK);
    return ok("socket", socket);
  } catch (error) {
    if (error instanceof KilnError) return failure("socket", error.message, error.hint ?? "");
    return failure(
      "socket",
      `${directory} cannot be written`,
      "set XDG_RUNTIME_DIR or KILN_ROOT to a place of yours",
    );
  }
}

/** Name servers that guests can be given. */
export async function checkDns(): Promise<Finding> {
  const servers = nameServers(await readFile("/etc/resolv.conf", "utf8").catch(() => ""));
  if (servers.length === 0) {
    return warning("dns", "/etc/resolv.conf names no server", "guests get none either: give one with --dns");
  }
  const stub = servers.every((server) => /^127\.|^::1$/.test(server));
  if (!stub || existsSync("/run/systemd/resolve/resolv.conf")) return ok("dns", servers.join(", "));
  return warning(
    "dns",
    `${servers.join(", ")} is of this machine only`,
    "guests cannot reach a resolver on the host's loopback: give one with --dns",
  );
}

/** Servers of a resolv.conf(5). */
function nameServers(text: string): string[] {
  return [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map((match) => match[1] ?? "");
}
