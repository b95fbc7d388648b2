// Where the taps of a VM's cards are: a network namespace of the VM's own, in which each hangs on one bridge with a link that
// leads on. What that link is, those know that have planned the card. Pure.

import type { TapBackend } from "../types.js";

export interface Namespace {
  /** kilnd's own user. */
  readonly uid: number;
  /** The uid that opens the taps, where it is another than kilnd's. */
  readonly owner: number | undefined;
  /** Whether the command is to lose what it gets of capabilities on the way: a jail needs them, and drops them itself. */
  readonly drops: boolean;
}

/**
 * Puts namespaces around a command. The shell in between becomes the command: the process that is known by its pid is
 * the jail's monitor, or the VMM.
 */
export function planNamespace(
  argv: readonly string[],
  taps: readonly TapBackend[],
  { uid, owner, drops }: Namespace,
): string[] {
  const script = [
    "set -e",
    ...(owner === undefined ? [] : ownTun(owner)),
    // Nobody but the guest is to say anything by these links. Not every kernel has IPv6.
    "echo 1 2>/dev/null >/proc/sys/net/ipv6/conf/default/disable_ipv6 || :",
    ...taps.flatMap((tap) => planTap(tap, owner ?? 0)),
    // Root's VMM drops its capabilities further in, with its uid; the namespace's root has only these to lose.
    uid === 0 || !drops ? 'exec "$@"' : 'exec setpriv --bounding-set=-all --inh-caps=-all -- "$@"',
  ].join("\n");
  const unshare = uid === 0 ? rootUnshare(owner) : userUnshare(taps);
  return [...unshare, "--", "sh", "-c", script, "sh", ...argv];
}

/** Its owner may open a tap without any capability: a VMM has none. */
function planTap({ name, peer, make, mtu }: TapBackend, owner: number): string[] {
  const bridge = `br-${name}`;
  return [
    ...make,
    `ip tuntap add dev ${name} mode tap user ${owner}`,
    `ip link add ${bridge} type bridge`,
    ...[name, peer].map((link) => `ip link set ${link} mtu ${mtu} master ${bridge} up`),
    `ip link set ${bridge} up`,
  ];
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

/** Whoever makes a cable of two namespaces has all rights over both: one user namespace owns them. */
function userUnshare(taps: readonly TapBackend[]): string[] {
  const within = taps.find(({ within }) => within.length > 0)?.within;
  return within === undefined
    ? ["unshare", "--user", "--map-root-user", "--net"]
    : [...within, "unshare", "--net"];
}
