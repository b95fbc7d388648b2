// The preloaded library that keeps a guest's user network away from the host's loopback and from link-local addresses
// (agent/netguard): which resolver it lets through, and the proof that a process really runs with it. No library, no
// network card.

import { readFile, realpath } from "node:fs/promises";
import { isIPv4 } from "node:net";
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

/**
 * What a process needs in its environment to run guarded.
 *
 * @param announceFd a descriptor of the process, to which the library writes the program's path when it is loaded
 */
export function netguardEnvironment(guard: Netguard, announceFd?: number): Record<string, string> {
  return {
    LD_PRELOAD: guard.library,
    KILN_NETGUARD_ALLOW: guard.resolver === undefined ? "" : `${guard.resolver}:53`,
    ...(announceFd === undefined ? {} : { KILN_NETGUARD_ANNOUNCE: String(announceFd) }),
  };
}

/**
 * That the library has announced itself from that program. The dynamic loader only warns when it can't preload a library
 * (no right to read it, wrong machine, a static program) and goes on without: the guest would reach the host's loopback
 * unseen.
 *
 * @param announced what was read from the descriptor
 * @throws KilnError failed_precondition `no-netguard`
 */
export function assertAnnounced(announced: string, program: string, library: string): void {
  const last = announced.trimEnd().split("\n").at(-1) ?? "";
  // passt becomes its build for newer processors where there is one.
  if (last === program || last === `${program}.avx2`) return;
  throw noNetguard(`${program} did not load ${library}`);
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
