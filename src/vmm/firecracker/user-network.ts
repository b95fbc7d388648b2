// A rootless network card for Firecracker, which knows taps only: a user and network namespace of the VM's own, in
// which its tap and slirp4netns' tap hang on one bridge. The guest sees the same 10.0.2.0/24 as under QEMU.

import { spawn } from "node:child_process";
import { closeSync, constants, openSync } from "node:fs";
import type { Readable } from "node:stream";
import { Code, KilnError } from "../../base/errors.js";
import { planEnvironment, planPrivileges } from "../../base/privileges.js";
import { identifyProcess, type ProcessId } from "../../base/processes.js";

/** Firecracker's tap, inside the namespace. */
export const TAP = "tap0";
const SLIRP_TAP = "slirp0";
const SLIRP = "slirp4netns";

/** Programs that must be there. `ip` is iproute2's. */
export const NETWORK_PROGRAMS = [SLIRP, "unshare", "ip", "sh"] as const;

export interface NetworkWrapper {
  /** kilnd's own user. */
  readonly uid: number;
  /** The uid that opens the tap, where a root daemon runs the VMM as another user. */
  readonly owner: number | undefined;
  /** Takes the capabilities of an ordinary user's namespace from the command: a jail does that itself, and needs them. */
  readonly drops: boolean;
}

/**
 * Puts namespaces around a command. The shell in between becomes the command: the process that is known by its pid is
 * the jail's monitor, or the VMM.
 */
export function planNetworkWrapper(argv: readonly string[], { uid, owner, drops }: NetworkWrapper): string[] {
  const script = [
    ...(owner === undefined ? [] : ownTun(owner)),
    // Its owner may open it without any capability: Firecracker has none.
    `ip tuntap add dev ${TAP} mode tap user ${owner ?? 0}`,
    `ip tuntap add dev ${SLIRP_TAP} mode tap`,
    "ip link add br0 type bridge",
    `ip link set ${TAP} master br0 up`,
    `ip link set ${SLIRP_TAP} master br0 up`,
    "ip link set br0 up",
    // Root's VMM drops its capabilities further in, with its uid; the namespace's root has only these to lose.
    uid === 0 || !drops ? 'exec "$@"' : 'exec setpriv --bounding-set=-all --inh-caps=-all -- "$@"',
  ].join(" && ");
  const unshare = uid === 0 ? rootUnshare(owner) : ["unshare", "--user", "--map-root-user", "--net"];
  return [...unshare, "--", "sh", "-c", script, "sh", ...argv];
}

/**
 * A /dev/net/tun of the VM's user, seen by its VMM alone: the host's may be root's only. slave: what the host unmounts
 * goes here too.
 */
function ownTun(owner: number): string[] {
  return [
    "mount -t tmpfs -o mode=0755,size=64k kiln /dev/net",
    "mknod -m 600 /dev/net/tun c 10 200",
    `chown ${owner} /dev/net/tun`,
  ];
}

function rootUnshare(owner: number | undefined): string[] {
  return owner === undefined
    ? ["unshare", "--net"]
    : ["unshare", "--net", "--mount", "--propagation", "slave"];
}

/**
 * Connects the namespace of a VMM to the host's network. --disable-host-loopback closes 10.0.2.2; the preloaded guard
 * closes raw packets to 127/8 too.
 */
export function planSlirp(pid: number, uid: number, program: string): string[] {
  const userns = uid === 0 ? [] : [`--userns-path=/proc/${pid}/ns/user`];
  return [
    ...planPrivileges({ runAs: undefined, uid: -1, groups: [] }),
    program,
    ...[
      "--disable-host-loopback",
      "--mtu=1500",
      `--ready-fd=${READY_FD}`,
      `--exit-fd=${EXIT_FD}`,
      "--netns-type=path",
      ...userns,
    ],
    `/proc/${pid}/ns/net`,
    SLIRP_TAP,
  ];
}

/** Its own work takes milliseconds; a busy host makes it wait its turn. */
const READY_TIMEOUT_MS = 10_000;
/** Of the child: slirp4netns writes one byte to the first once the network is there, and ends with the second. */
const READY_FD = 3;
const EXIT_FD = 4;

/**
 * Starts slirp4netns beside a VMM; like the VMM it outlives kilnd, and it ends with the VMM. Resolves once it works.
 *
 * @param alive FIFO that the VMM holds open (its log): when the last writer has gone, slirp4netns goes
 * @throws KilnError unavailable `user-network-failed`
 */
export async function startSlirp(
  argv: readonly string[],
  guard: Readonly<Record<string, string>>,
  alive: string,
): Promise<ProcessId> {
  const [program = "", ...args] = argv;
  // No pipe but the one that tells: writing to a kilnd that has gone would end it.
  const exit = openSync(alive, constants.O_RDONLY | constants.O_NONBLOCK);
  const stdio: ("ignore" | "pipe" | number)[] = ["ignore", "ignore", "ignore", "pipe", exit];
  const child = spawn(program, args, { detached: true, env: planEnvironment(guard), stdio, cwd: "/" });
  const ready = child.stdio[READY_FD] as Readable;
  const timer = setTimeout(() => child.kill("SIGKILL"), READY_TIMEOUT_MS);
  try {
    await new Promise<void>((resolve, reject) => {
      ready.once("data", () => resolve());
      child.once("error", reject);
      child.once("exit", (code, signal) => reject(new Error(`it ended with ${signal ?? code}`)));
    });
    const id = await identifyProcess(child.pid ?? 0);
    if (id === undefined) throw new Error("it ended at once");
    return id;
  } catch (error) {
    throw new KilnError(
      Code.Unavailable,
      `start ${SLIRP} for the VM's network: ${(error as Error).message}`,
      {
        reason: "user-network-failed",
        cause: error,
      },
    );
  } finally {
    clearTimeout(timer);
    closeSync(exit);
    ready.destroy();
    child.unref();
  }
}
