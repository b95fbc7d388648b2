// The preloaded library that keeps a guest's user network away from the host's loopback and from link-local addresses, and to
// its VM's egress policy (agent/netguard): what it is told, and the proof that a process really runs with it. No library,
// no network card.

import { readFile, realpath } from "node:fs/promises";
import { isIPv4 } from "node:net";
import { formatCidr } from "./cidr.js";
import { type EgressPolicy, type EgressRule, resolvesNames } from "./egress.js";
import { Code, KilnError } from "./errors.js";
import { readPlainFile } from "./plain-file.js";

export interface Netguard {
  /** Real path. */
  readonly library: string;
  /** The host's resolver, which the guest may ask wherever it is; undefined where the host has none with IPv4. */
  readonly resolver: string | undefined;
}

const MAX_RESOLV_CONF = 1024 * 1024;

const HINT = "build it with `npm run setup`, or run the VM with --network none";

/**
 * The library's real path.
 *
 * @throws KilnError failed_precondition `no-netguard`
 */
async function findNetguard(path: string | undefined): Promise<string> {
  if (path === undefined) throw noNetguard("kilnd was started without one");
  try {
    return await realpath(path);
  } catch (error) {
    throw noNetguard(`there is no ${path}`, error);
  }
}

/** The first resolver with an IPv4 address: the guest's 10.0.2.3 stands for it. @param resolvConf text of the file */
export function firstResolver(resolvConf: string): string | undefined {
  const servers = [...resolvConf.matchAll(/^[ \t]*nameserver[ \t]+(\S+)/gm)].map((match) => match[1] ?? "");
  return servers.find((server) => isIPv4(server) && server !== "0.0.0.0");
}

/** The library, and the resolver that it lets through on this host. */
export async function prepareNetguard(path: string | undefined): Promise<Netguard> {
  const library = await findNetguard(path);
  const resolvConf = await readPlainFile("/etc/resolv.conf", MAX_RESOLV_CONF).then(String, () => "");
  return { library, resolver: firstResolver(resolvConf) };
}

/** Numbers of descriptors of the process that is guarded. */
export interface GuardDescriptors {
  /** The library writes its policy's summary and the program's path there when it is loaded. */
  readonly announce?: number | undefined;
  /** Of a file of eight bytes, in which the library counts what it refuses. */
  readonly count?: number | undefined;
}

/** What a process needs in its environment to run guarded. The resolver is reachable where the policy resolves names. */
export function netguardEnvironment(
  guard: Netguard,
  egress: EgressPolicy,
  { announce, count }: GuardDescriptors,
): Record<string, string> {
  const resolver = resolvesNames(egress) ? guard.resolver : undefined;
  return {
    LD_PRELOAD: guard.library,
    KILN_NETGUARD_ALLOW: resolver === undefined ? "" : `${resolver}:53`,
    KILN_NETGUARD_EGRESS: netguardEgress(egress),
    ...(announce === undefined ? {} : { KILN_NETGUARD_ANNOUNCE: String(announce) }),
    ...(count === undefined ? {} : { KILN_NETGUARD_COUNT: String(count) }),
  };
}

/** As agent/netguard/src/egress.rs reads it: it has one form, and what is not understood as a whole opens nothing. */
function netguardEgress(egress: EgressPolicy): string {
  if (egress.kind !== "list") return egress.kind;
  return egress.rules.length === 0 ? "none" : egress.rules.map(netguardRule).join(",");
}

function netguardRule({ to, ports }: EgressRule): string {
  const words = ports === undefined ? "* *" : `${ports.first}-${ports.last} ${ports.protocol ?? "*"}`;
  return `${formatCidr(to)} ${words}`;
}

function summaryOf(egress: EgressPolicy): string {
  if (egress.kind === "all") return "egress all";
  return `egress ${egress.kind === "list" ? egress.rules.length : 0} rules`;
}

/**
 * That the library has announced itself from that program, with that policy. The dynamic loader only warns when it can't
 * preload a library (no right to read it, wrong machine, a static program) and goes on without: the guest would reach the
 * host's loopback unseen. A library of another release may know of no policies.
 *
 * @param announced what was read from the descriptor
 * @throws KilnError failed_precondition `no-netguard`
 */
export function assertAnnounced(
  announced: string,
  program: string,
  library: string,
  egress: EgressPolicy,
): void {
  const lines = announced.trimEnd().split("\n");
  const [policy, last] = [lines.at(-2), lines.at(-1)];
  // passt becomes its build for newer processors where there is one.
  if (last !== program && last !== `${program}.avx2`) {
    throw noNetguard(`${program} did not load ${library}`);
  }
  // One of another release that knows of no policies does as well where there is none to keep.
  const isSilent = egress.kind === "all" && policy?.startsWith("egress ") !== true;
  if (!isSilent && policy !== summaryOf(egress))
    throw noNetguard(`${library} does not keep what --egress asks for`);
}

/**
 * That the process has the library mapped: for one that can be looked at.
 *
 * @throws KilnError failed_precondition `no-netguard`
 */
export async function assertNetguardLoaded(pid: number, library: string): Promise<void> {
  const maps = await readFile(`/proc/${pid}/maps`, "utf8");
  if (maps.split("\n").some((line) => line.endsWith(` ${library}`))) return;
  throw noNetguard(`the process did not load ${library}; can its user read that file?`);
}

function noNetguard(why: string, cause?: unknown): KilnError {
  return new KilnError(
    Code.FailedPrecondition,
    `give the VM a network card: the guard of the host's loopback is missing: ${why}`,
    { reason: "no-netguard", hint: HINT, cause },
  );
}
