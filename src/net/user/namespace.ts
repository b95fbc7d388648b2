// Where the tap of a VM's card is, for a VMM that knows taps only (Firecracker): a user and network namespace of the VM's own,
// in which its tap and slirp4netns' hang on one bridge. The guest sees the same 10.0.2.0/24 as behind passt.

/** Of the VMM, inside the namespace. */
const TAP = "tap0";
/** slirp4netns', there too. */
export const SLIRP_TAP = "slirp0";

/** Whose the tap is to be. */
export interface TapUser {
  /** The uid that opens the tap, where a root daemon runs the VMM as another user. */
  readonly owner: number | undefined;
  /** Takes the capabilities of an ordinary user's namespace from the command: a jail does that itself, and needs them. */
  readonly drops: boolean;
}

/** What the VMM is given of its card: a tap, and the words that lead to where it is. */
export interface TapBackend {
  readonly kind: "tap";
  readonly name: string;
  around(argv: readonly string[], user: TapUser): string[];
}

export function tapBackend(): TapBackend {
  const uid = process.getuid?.() ?? 0;
  return { kind: "tap", name: TAP, around: (argv, user) => planNamespace(argv, { ...user, uid }) };
}

export interface Namespace extends TapUser {
  /** kilnd's own user. */
  readonly uid: number;
}

/**
 * Puts namespaces around a command. The shell in between becomes the command: the process that is known by its pid is
 * the jail's monitor, or the VMM.
 */
export function planNamespace(argv: readonly string[], { uid, owner, drops }: Namespace): string[] {
  const script = [
    ...(owner === undefined ? [] : ownTun(owner)),
    // Its owner may open it without any capability: a VMM has none.
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
