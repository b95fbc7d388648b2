// An ordinary user's own place: one user, network and mount namespace, held by a small process, with one pasta as the way out.
// Both outlive kilnd, are found by the next one, and go when no network is up any more.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { failpoint } from "../../base/failpoint.js";
import { makeDirectory } from "../../base/files.js";
import { type Netguard, netguardEnvironment, prepareNetguard } from "../../base/netguard.js";
import type { ProcessId } from "../../base/processes.js";
import { isLoopback } from "../host-dns.js";
import { endHelper, held, runningHelper, startHelper, TOLD_FD } from "./helper.js";
import type { Place } from "./place.js";

/** Between the place and pasta: of a range (RFC 7335) that is nobody's network. */
const WAY_OUT = {
  link: "out0",
  address: "192.0.0.2",
  prefix: "29",
  gateway: "192.0.0.1",
  resolver: "192.0.0.3",
};
const DNS_HOST = "--dns-host";
const WAY_OUT_6 = { address: "fd00:6b69:6c6e::2", gateway: "fe80::1" };

export interface UserPlaceOptions {
  /** Of the records; private to kilnd. */
  readonly directory: string;
  /** pasta's path. */
  readonly pasta: string;
  readonly netguard: string | undefined;
  readonly environment: Readonly<Record<string, string>>;
  /** The host's resolvers. */
  readonly servers: readonly string[];
  /** Others' programs run there, which write below /run and /var/lib: what they know is the place's, and goes with it. */
  readonly isForPlugins?: boolean | undefined;
}

/** Finds it, or makes what is missing. @throws KilnError unavailable `network-failed`; failed_precondition `no-netguard` */
export async function ensureUserPlace(options: UserPlaceOptions): Promise<Place> {
  const { directory, environment } = options;
  await makeDirectory(directory);
  const guard = await prepareNetguard(options.netguard);
  const record = holderRecord(directory);
  const found = await runningHelper(record);
  // What leads out of one that has gone leads nowhere.
  if (found === undefined) await endHelper(wayOutRecord(directory));
  const argv = planHolder(options.isForPlugins === true ? await makeMountpoint(directory) : undefined);
  const plan = { what: "the namespace of this user's networks", argv, environment, record, begun: /^held$/m };
  const holder = found ?? (await startHelper(plan));
  failpoint("network.held");
  await ensureWayOut(options, holder.pid, guard);
  failpoint("network.open");
  return placeOf(holder.pid, guard, options);
}

/** Undefined where there is none; nothing is made. */
export async function findUserPlace(options: UserPlaceOptions): Promise<Place | undefined> {
  const holder = await runningHelper(holderRecord(options.directory));
  if (holder === undefined) return undefined;
  const guard = await prepareNetguard(options.netguard);
  return placeOf(holder.pid, guard, options);
}

async function placeOf(
  holder: number,
  { resolver }: Netguard,
  { directory, servers }: UserPlaceOptions,
): Promise<Place> {
  const enter = [
    "nsenter",
    "--target",
    String(holder),
    "--user",
    "--net",
    "--mount",
    "--preserve-credentials",
    "--",
  ];
  const wayOut = await runningHelper(wayOutRecord(directory));
  const asked = wayOut === undefined ? resolver : await resolverOf(wayOut);
  return { holder, prefix: enter, servers, upstream: planUpstream(resolver, asked, servers) };
}

/** That what holds it runs, and what leads out. */
export async function isUserPlaceWhole(directory: string): Promise<boolean> {
  const records = [holderRecord(directory), wayOutRecord(directory)];
  return (await Promise.all(records.map(runningHelper))).every((found) => found !== undefined);
}

/** Idempotent. */
export async function endUserPlace(directory: string): Promise<void> {
  await endHelper(wayOutRecord(directory));
  failpoint("network.shut");
  await endHelper(holderRecord(directory));
}

/** pasta, which may have died alone. */
async function ensureWayOut(
  { directory, pasta, environment }: UserPlaceOptions,
  holder: number,
  guard: Netguard,
): Promise<void> {
  const record = wayOutRecord(directory);
  const found = await runningHelper(record);
  if (found !== undefined && isReachedBy(await resolverOf(found), guard.resolver)) return;
  await endHelper(record);
  await startHelper({
    what: "the way out of this user's networks",
    argv: held(...planWayOut(pasta, guard.resolver, holder, await hasIpv6())),
    environment: { ...environment, ...netguardEnvironment(guard, { kind: "all" }, { announce: TOLD_FD }) },
    record,
    // A link to passt, which becomes its build for newer processors where there is one.
    begun: /\/pass?ta?(\.avx2)?$/m,
    isUp: async () => hasRoute(await readFile(`/proc/${holder}/net/route`, "utf8")),
  });
}

async function makeMountpoint(directory: string): Promise<string> {
  const path = join(directory, "mnt");
  await makeDirectory(path);
  return path;
}

/**
 * Pure. The shell becomes what holds the namespaces, once it is on record.
 *
 * @param mountpoint a directory that is there: /run and /var/lib are made anew by way of it
 */
export function planHolder(mountpoint?: string): string[] {
  const set = (path: string, value: number) => `echo ${value} > /proc/sys/net/${path} 2>/dev/null || :`;
  const script = [
    "ip link set lo up || exit 1",
    set("ipv4/ip_forward", 1),
    set("ipv6/conf/all/forwarding", 1),
    set("ipv6/conf/default/accept_ra", 0),
    ...(mountpoint === undefined ? [] : [PLUGINS_MOUNTS]),
    `read -r go || exit 1`,
    `echo held >&${TOLD_FD}`,
    `exec sleep infinity </dev/null ${TOLD_FD}>&-`,
  ];
  return [
    "unshare",
    "--user",
    "--map-root-user",
    "--net",
    "--mount",
    // What the host unmounts is not held in use here.
    "--propagation",
    "slave",
    "--",
    "sh",
    "-c",
    script.join("\n"),
    "sh",
    ...(mountpoint === undefined ? [] : [mountpoint]),
  ];
}

/**
 * Directories in which all is there that the host has, but what CNI's plugins, ip(8) and iptables keep there of networks: that of
 * root is none of this user's to see, to write or to lock. Without the host's bus firewalld is not asked, which has no say here.
 */
const PLUGINS_MOUNTS = `
for dir in /var/lib /run; do
  test -d $dir || continue
  mount -n -t tmpfs -o mode=755 kiln "$1" && mkdir "$1/.host" && mount -n --rbind $dir "$1/.host" || exit 1
  (cd "$1" && ln -s .host/* . && rm -f cni netns dbus xtables.lock && mkdir cni netns) || exit 1
  mount -n --move "$1" $dir || exit 1
done`;

/** Pure. */
export function planWayOut(
  pasta: string,
  resolver: string | undefined,
  holder: number,
  isIpv6: boolean,
): string[] {
  const { link, address, prefix, gateway } = WAY_OUT;
  return [
    ...[pasta, "--foreground", "--quiet", "--config-net", "--ns-ifname", link],
    ...["--address", address, "--netmask", prefix, "--gateway", gateway],
    ...(isIpv6 ? ["--address", WAY_OUT_6.address, "--gateway", WAY_OUT_6.gateway] : ["--ipv4-only"]),
    // Without it the gateway's address is the host's loopback.
    "--no-map-gw",
    ...["--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none"],
    ...(resolver === undefined ? [] : ["--dns-forward", WAY_OUT.resolver, DNS_HOST, resolver]),
    String(holder),
  ];
}

/** Whom a pasta that runs asks: in its own words, for the host may have had another resolver when it was started. */
async function resolverOf({ pid }: ProcessId): Promise<string | undefined> {
  const words = (await readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "")).split("\0");
  const at = words.indexOf(DNS_HOST);
  return at === -1 ? undefined : words[at + 1];
}

/** Pure: whether a place whose pasta asks `asked` reaches the host's first resolver. One on the host's loopback it asks alone. */
export function isReachedBy(asked: string | undefined, resolver: string | undefined): boolean {
  return resolver === undefined || resolver === asked || !isLoopback(resolver);
}

/**
 * Pure. The host's first resolver may be on its loopback: pasta asks that one.
 *
 * @param resolver the host's first one of IPv4
 * @param asked whom pasta asks, which may be one of before
 */
export function planUpstream(
  resolver: string | undefined,
  asked: string | undefined,
  servers: readonly string[],
): string[] {
  const isAsked = resolver !== undefined && resolver === asked;
  const others = servers.filter((server) => !isLoopback(server) && !(isAsked && server === resolver));
  return isAsked ? [WAY_OUT.resolver, ...others] : others;
}

/** Whether the host has a way out by IPv6. */
async function hasIpv6(): Promise<boolean> {
  const text = await readFile("/proc/net/ipv6_route", "utf8").catch(() => "");
  return text
    .split("\n")
    .some((line) => line.startsWith(`${"0".repeat(32)} 00 `) && !line.trimEnd().endsWith(" lo"));
}

/** Of /proc/net/route: a default route by our link. */
function hasRoute(text: string): boolean {
  return text.split("\n").some((line) => line.startsWith(`${WAY_OUT.link}\t00000000\t`));
}

function holderRecord(directory: string): string {
  return join(directory, "holder.json");
}

function wayOutRecord(directory: string): string {
  return join(directory, "way-out.json");
}
