// The preloaded library that keeps a guest's user network away from the host's loopback (agent/netguard): which
// resolvers it lets through, and the proof that a process really runs with it. No library, no network card.

import { chmod, constants, copyFile, readFile, realpath, rename } from "node:fs/promises";
import { join } from "node:path";
import { Code, KilnError } from "../base/errors.js";
import { tempNameFor } from "../base/files.js";

export interface Netguard {
  /** Real path. */
  readonly library: string;
  /** Resolvers of the host on its loopback: "127.0.0.53:53,[::1]:53". */
  readonly allow: string;
}

const HINT = "build it with `npm run setup`, or run the VM with --network none";

/**
 * The library's real path, as /proc/<pid>/maps will show it.
 *
 * @throws KilnError failed_precondition `no-netguard`
 */
export async function findNetguard(path: string | undefined): Promise<string> {
  if (path === undefined) throw noNetguard("kilnd was started without one");
  try {
    return await realpath(path);
  } catch (error) {
    throw noNetguard(`there is no ${path}`, error);
  }
}

/**
 * The loopback resolvers of the host ("127.0.0.53:53,[::1]:53"): slirp's own DNS forwarder asks them for the guest.
 *
 * @param resolvConf text of /etc/resolv.conf, the file that slirp reads
 */
export function planNetguardAllow(resolvConf: string): string {
  const servers = [...resolvConf.matchAll(/^[ \t]*nameserver[ \t]+([0-9a-fA-F.:]+)/gm)].map(
    (match) => match[1] ?? "",
  );
  const loopback = servers.filter((server) => server.startsWith("127.") || server === "::1");
  return loopback.map((server) => (server.includes(":") ? `[${server}]:53` : `${server}:53`)).join(",");
}

/** The library and the resolvers that it lets through on this host. */
export async function prepareNetguard(path: string | undefined): Promise<Netguard> {
  const library = await findNetguard(path);
  // Without the file slirp asks 127.0.0.1, which the guard refuses: no resolver, no hole.
  const resolvConf = await readFile("/etc/resolv.conf", "utf8").catch(() => "");
  return { library, allow: planNetguardAllow(resolvConf) };
}

/**
 * The same with a copy of the library where a VMM of another user can read it: a checkout in root's home is closed to
 * it. Made anew at every start, so that what a VMM did to its copy does not last.
 *
 * @param directory of the VM's state; not below /run, which Debian mounts noexec
 */
export async function copyNetguard(guard: Netguard, directory: string): Promise<Netguard> {
  const copy = join(await realpath(directory), "netguard.so");
  const temp = tempNameFor(copy);
  await copyFile(guard.library, temp, constants.COPYFILE_FICLONE);
  await chmod(temp, 0o755);
  await rename(temp, copy);
  return { ...guard, library: copy };
}

/** What a process needs in its environment to run guarded. */
export function netguardEnvironment(guard: Netguard): Record<string, string> {
  return { LD_PRELOAD: guard.library, KILN_NETGUARD_ALLOW: guard.allow };
}

/**
 * That the process has the library mapped. The dynamic loader only warns when it can't preload a library (no right to
 * read it, wrong machine, a static program) and goes on without: the guest would reach the host's loopback unseen.
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
