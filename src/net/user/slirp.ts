// slirp4netns beside a VMM that is in a namespace with its tap: guarded, in a session of its own so that it outlives kilnd.
// It ends with its VMM, by a descriptor that hangs up.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, readlink, realpath } from "node:fs/promises";
import type { Readable } from "node:stream";
import type { EgressPolicy } from "../../base/egress.js";
import { Code, KilnError } from "../../base/errors.js";
import { keepText } from "../../base/kept-text.js";
import {
  assertAnnounced,
  assertNetguardLoaded,
  type Netguard,
  netguardEnvironment,
} from "../../base/netguard.js";
import { planEnvironment, planPrivileges } from "../../base/privileges.js";
import { identifyProcess, type ProcessId, readTraits, signalProcess } from "../../base/processes.js";
import type { TapHolder } from "../types.js";
import { openCount } from "./denied.js";
import { SLIRP_MTU, SLIRP_TAP } from "./namespace.js";
import { HELPER_GROUPS } from "./plan.js";

export const SLIRP = "slirp4netns";
/** Its own work takes milliseconds; a busy host makes it wait its turn. */
const READY_TIMEOUT_MS = 10_000;
/** What is in a pipe has only to be read. */
const ANNOUNCED_TIMEOUT_MS = 5_000;
/** Of the child: slirp4netns writes one byte to the first once the network is there, and ends with the second. */
const READY_FD = 3;
const EXIT_FD = 4;
/** The guard's. slirp4netns knows nothing of them and keeps them. */
const ANNOUNCE_FD = 5;
const COUNT_FD = 6;

export interface SlirpPlan {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly guard: Netguard;
  readonly egress: EgressPolicy;
  /** slirp4netns' path: words that become it come before it. */
  readonly program: string;
  readonly countFile?: string | undefined;
}

export interface SlirpRequest {
  /** slirp4netns' path. */
  readonly program: string;
  readonly guard: Netguard;
  readonly egress: EgressPolicy;
  /** Path of the file in which refusals are counted; undefined: they are not. */
  readonly countFile?: string | undefined;
  /** Of the daemon. */
  readonly uid: number;
  /** The VMM, or its jail's monitor, in the namespace. */
  readonly pid: number;
  /** Of every process of the VM. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
}

/**
 * Connects the namespace of a VMM to the host's network. --disable-host-loopback closes 10.0.2.2; the preloaded guard
 * closes raw packets to 127/8 too. Pure.
 */
export function planSlirp(request: SlirpRequest): SlirpPlan {
  const { program, guard, egress, countFile, uid, pid, environment } = request;
  const userns = uid === 0 ? [] : [`--userns-path=/proc/${pid}/ns/user`];
  const argv = [
    ...privilegesOf(uid),
    program,
    ...["--disable-host-loopback", `--mtu=${SLIRP_MTU}`, `--ready-fd=${READY_FD}`, `--exit-fd=${EXIT_FD}`],
    ...["--netns-type=path", ...userns, networkOf(pid), SLIRP_TAP],
  ];
  const count = countFile === undefined ? undefined : COUNT_FD;
  const guarded = netguardEnvironment(guard, egress, { announce: ANNOUNCE_FD, count });
  return { argv, env: planEnvironment({ ...guarded, ...environment }), guard, egress, program, countFile };
}

/** Root stays root, to enter the namespace, with a group by which rules tell its packets from the host's own. */
function privilegesOf(uid: number): string[] {
  if (uid !== 0) return planPrivileges({ runAs: undefined, uid, groups: [] });
  return ["setpriv", "--no-new-privs", `--regid=${HELPER_GROUPS.first}`, "--clear-groups", "--"];
}

function networkOf(pid: number): string {
  return `/proc/${pid}/ns/net`;
}

/**
 * Returns once it works, guarded. Nothing is left of one that does not.
 *
 * @throws KilnError unavailable `user-network-failed`, failed_precondition `no-netguard`
 */
export async function startSlirp(plan: SlirpPlan, tap: TapHolder): Promise<ProcessId> {
  await assertOwnNetwork(tap.pid);
  const id = await begin(plan, tap);
  try {
    await assertNetguardLoaded(id.pid, plan.guard.library);
  } catch (error) {
    await signalProcess(id, "SIGKILL");
    throw error;
  }
  return id;
}

/** In the host's own network it would put its tap and its addresses, for all of the host. */
async function assertOwnNetwork(pid: number): Promise<void> {
  const [theirs, own] = await Promise.all([pid, "self"].map((who) => readlink(`/proc/${who}/ns/net`)));
  if (theirs === own) throw slirpFailed("the VMM is in the host's network");
}

async function begin(plan: SlirpPlan, tap: TapHolder): Promise<ProcessId> {
  const { argv, env, guard, egress, countFile } = plan;
  const [command = "", ...args] = argv;
  const program = await realpath(plan.program);
  await using alive = await tap.alive();
  await using count = await openCount(countFile);
  // No pipes but those that tell, before it does anything: writing to a kilnd that has gone would end it.
  const stdio: ("ignore" | "pipe" | number)[] = ["ignore", "ignore", "ignore"];
  stdio.push("pipe", alive.fd, "pipe", count.fd);
  const child = spawn(command, args, { detached: true, env: { ...env }, stdio, cwd: "/" });
  const pipes = child.stdio as readonly unknown[];
  const [ready, announce] = [pipes[READY_FD] as Readable, pipes[ANNOUNCE_FD] as Readable];
  const announced = keepText(announce);
  const timer = setTimeout(() => child.kill("SIGKILL"), READY_TIMEOUT_MS);
  try {
    await new Promise<void>((resolve, reject) => {
      ready.once("data", () => resolve());
      child.once("error", reject);
      child.once("exit", (code, signal) => reject(new Error(`it ended with ${signal ?? code}`)));
    });
    // Written before it was ready, but perhaps not read yet.
    const patience = AbortSignal.timeout(ANNOUNCED_TIMEOUT_MS);
    while (!announced().endsWith(`\n${program}\n`) && !patience.aborted) {
      await once(announce, "data", { signal: patience }).catch(() => undefined);
    }
    assertAnnounced(announced(), program, guard.library, egress);
    const id = await identifyProcess(child.pid ?? 0);
    if (id === undefined) throw new Error("it ended at once");
    return id;
  } catch (error) {
    child.kill("SIGKILL");
    if (error instanceof KilnError) throw error;
    throw slirpFailed((error as Error).message, error);
  } finally {
    clearTimeout(timer);
    ready.destroy();
    announce.destroy();
    child.unref();
  }
}

/**
 * Whether there is one for that VMM, started by any release: they all name the namespace. Only a process of our own user
 * counts, for everybody may name what they like; and what is found is let be, never ended.
 */
export async function hasSlirp(pid: number): Promise<boolean> {
  const own = process.getuid?.() ?? 0;
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const words = (await readFile(`/proc/${name}/cmdline`, "latin1").catch(() => "")).split("\0");
    if (!words.includes(networkOf(pid)) || !words.includes(SLIRP_TAP)) continue;
    if ((await readTraits(Number(name)))?.uid === own) return true;
  }
  return false;
}

function slirpFailed(why: string, cause?: unknown): KilnError {
  return new KilnError(Code.Unavailable, `start ${SLIRP} for the VM's network: ${why}`, {
    reason: "user-network-failed",
    hint: "`kiln doctor` looks at the network's programs; --network none needs none",
    cause,
  });
}
