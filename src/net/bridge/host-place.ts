// The host's own namespace, for root: what it has to have switched on to pass packets on.

import { readFile, writeFile } from "node:fs/promises";
import type { NetworkSpec } from "../../base/networks.js";
import { type BridgePrograms, type Place, runIn } from "./place.js";

const FORWARD_4 = "/proc/sys/net/ipv4/ip_forward";
const FORWARD_6 = "/proc/sys/net/ipv6/conf/all/forwarding";

export function hostPlace(servers: readonly string[]): Place {
  return { holder: undefined, prefix: [], servers, upstream: servers };
}

/** That a network which leads out has nobody who passes its packets on: another program, or `sysctl --system`, switched it off. */
export async function isForwardingOff(spec: NetworkSpec): Promise<boolean> {
  if (spec.internal) return false;
  const isOff4 = spec.subnet4 !== undefined && (await isOff(FORWARD_4));
  return isOff4 || (spec.subnet6 !== undefined && (await isOff(FORWARD_6)));
}

/** Idempotent. Stays on afterwards, as whoever else may have come to need it. */
export async function switchOnForwarding(
  place: Place,
  programs: BridgePrograms,
  spec: NetworkSpec,
): Promise<void> {
  if (spec.internal) return;
  if (spec.subnet4 !== undefined) await switchOn(FORWARD_4);
  if (spec.subnet6 !== undefined && (await isOff(FORWARD_6))) {
    const routes = await runIn(place, "look at the host's routes", [
      programs.ip,
      "-6",
      "route",
      "show",
      "default",
    ]);
    for (const link of routersAdvertised(routes))
      await switchTo(`/proc/sys/net/ipv6/conf/${link}/accept_ra`, "2");
    await switchOn(FORWARD_6);
  }
}

/** A host that forwards takes no router's advertisement any more, unless its link is told to: it would lose its way out. */
export function routersAdvertised(routes: string): string[] {
  const links = routes
    .split("\n")
    .filter((line) => /\bproto ra\b/.test(line))
    .map((line) => /\bdev ([A-Za-z0-9_.-]+)/.exec(line)?.[1]);
  return [
    ...new Set(links.filter((link) => link !== undefined && link !== "." && link !== "..")),
  ] as string[];
}

async function isOff(path: string): Promise<boolean> {
  return (await readFile(path, "utf8")).trim() === "0";
}

async function switchOn(path: string): Promise<void> {
  if (await isOff(path)) await switchTo(path, "1");
}

function switchTo(path: string, value: string): Promise<void> {
  return writeFile(path, value);
}
