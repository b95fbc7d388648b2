// The network namespace of one card: a small process holds it, which outlives kilnd and is on record before it begins. No name
// below /run/netns: a mount that a service of systemd's makes there is gone for the next one.

import { readdir, readFile, readlink } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { errnoOf } from "../../base/errors.js";
import { isRoot } from "../bridge/ground.js";
import { endHelper, runningHelper, startHelper, TOLD_FD } from "../bridge/helper.js";
import type { Place } from "../bridge/place.js";

export function namespacePath(holder: number): string {
  return `/proc/${holder}/ns/net`;
}

/** What goes before a command that is to run there. */
export function within(holder: number): string[] {
  if (isRoot()) return ["nsenter", `--net=${namespacePath(holder)}`, "--"];
  return ["nsenter", "--target", String(holder), "--user", "--net", "--preserve-credentials", "--"];
}

/**
 * @param place whose it is to be
 * @param record of the holder
 * @returns its pid
 * @throws KilnError unavailable `network-failed`
 */
export async function holdNamespace(
  { prefix }: Pick<Place, "prefix">,
  record: string,
  environment: Readonly<Record<string, string>>,
): Promise<number> {
  const holder = await startHelper({
    what: "the namespace of a card on a CNI network",
    argv: [...prefix, ...planHolder()],
    environment,
    record,
    begun: /^held$/m,
  });
  return holder.pid;
}

/** Its pid; undefined where it has ended. */
export async function namespaceHolder(record: string): Promise<number | undefined> {
  return (await runningHelper(record))?.pid;
}

/** Names of the records in a directory, without their ending. */
export async function helperIds(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  });
  return names.flatMap((name) => /^([0-9a-f]{64}-[0-7])\.json$/.exec(name)?.[1] ?? []);
}

/** Idempotent. */
export function endNamespace(record: string): Promise<void> {
  return endHelper(record);
}

/** Pure. What guests' routers advertise is for them alone. */
function planHolder(): string[] {
  const script = [
    "ip link set lo up || exit 1",
    "echo 0 > /proc/sys/net/ipv6/conf/default/accept_ra 2>/dev/null || :",
    "read -r go || exit 1",
    `echo held >&${TOLD_FD}`,
    `exec sleep infinity </dev/null ${TOLD_FD}>&-`,
  ];
  return ["unshare", "--net", "--", "sh", "-c", script.join("\n"), "sh"];
}

/**
 * Ends plugins that a killed kilnd was calling for a VM: they would add what was just taken away.
 *
 * @param directories of plugins: what they have started and left running on purpose is none of them
 */
export async function endOrphans(vmId: string, directories: readonly string[]): Promise<void> {
  const mark = `CNI_CONTAINERID=${vmId}`;
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const program = await readlink(`/proc/${pid}/exe`).catch(() => "");
    // It becomes a plugin.
    const isOnTheWay = basename(program) === "nsenter";
    if (!isOnTheWay && !directories.includes(dirname(program))) continue;
    const environment = await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "");
    if (!environment.split("\0").includes(mark)) continue;
    try {
      process.kill(Number(pid), "SIGKILL");
    } catch (error) {
      if (errnoOf(error) !== "ESRCH") throw error;
    }
  }
}
