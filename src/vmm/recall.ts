// A VMM whose record is lost, known by its process alone: what it is, and where its driver's files would be. And the
// hold on one that its driver can't reach: its end is seen, it can be ended, and nothing more.

import { lstat, readFile, readlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { Code, KilnError } from "../base/errors.js";
import type { ProcessId } from "../base/processes.js";
import { NO_CARDS } from "./cards.js";
import { ConsoleLog } from "./console-log.js";
import { recordedSerials } from "./disk-serials.js";
import { SOCKETS } from "./firecracker/paths.js";
import { VmCgroup } from "./jail/cgroup.js";
import { isInVmCgroup } from "./jail/cgroup-place.js";
import { NO_PORTS, portFacts } from "./ports.js";
import { portsOnCommandLine } from "./qemu/ports.js";
import type { VmmCapabilities, VmmHandle, VmmKind, VmmRecord } from "./types.js";
import { describeEnd, VmmProcess } from "./vmm-process.js";

/**
 * The record of a VMM process of ours, with what every release of its driver can do.
 *
 * @returns undefined where the process is no VMM (a helper of one, or gone)
 */
export async function recallVmm(process: ProcessId, runDirectory: string): Promise<VmmRecord | undefined> {
  // Processes come and go: both then read as empty.
  const cmdline = await readFile(`/proc/${process.pid}/cmdline`, "utf8").catch(() => "");
  const exe = await readlink(`/proc/${process.pid}/exe`).catch(() => "");
  const driver = kindOf(exe) ?? kindOf(cmdline.split("\0", 1)[0] ?? "");
  if (driver === undefined) return undefined;
  const facts = {
    ...(driver === "qemu" ? qemuFacts(cmdline) : await socketFacts(runDirectory)),
    ...(await confinementFacts(process.pid)),
  };
  return { driver, process, capabilities: leastCapabilities(driver, cmdline), facts };
}

function qemuFacts(cmdline: string): Readonly<Record<string, string>> {
  return { ...networkFacts(cmdline), ...portFacts(portsOnCommandLine(cmdline)) };
}

/** QEMU's card is a stream to passt; the first releases had their network inside QEMU. Pure. */
function networkFacts(cmdline: string): Readonly<Record<string, string>> {
  return cmdline.includes("\0-netdev\0stream,") ? { userNetwork: "passt" } : {};
}

/** Where Firecracker's sockets are: below its jailer's link, in a directory of their own, or beside the rest. */
async function socketFacts(runDirectory: string): Promise<Readonly<Record<string, string>>> {
  const isThere = async (name: string) =>
    (await lstat(join(runDirectory, name)).catch(() => undefined)) !== undefined;
  if (await isThere("j")) return { jailLink: join(runDirectory, "j") };
  return (await isThere(SOCKETS)) ? { sockets: SOCKETS } : {};
}

async function confinementFacts(pid: number): Promise<Readonly<Record<string, string>>> {
  const cgroups = await readFile(`/proc/${pid}/cgroup`, "utf8").catch(() => "");
  const outside = async (kind: string) => {
    const links = await Promise.all(
      [pid, "self"].map((who) => readlink(`/proc/${who}/ns/${kind}`).catch(() => "")),
    );
    return links[0] !== "" && links[0] !== links[1];
  };
  const way = (await outside("user")) ? "user" : "root";
  return {
    ...((await outside("pid")) ? { jail: way } : {}),
    ...(isInVmCgroup(cgroups) ? { cgroup: "own" } : {}),
  };
}

/** Pure: by the name of its program. */
function kindOf(program: string): VmmKind | undefined {
  const name = basename(program);
  if (name.startsWith("qemu-system-")) return "qemu";
  return name.startsWith("firecracker") ? "firecracker" : undefined;
}

function leastCapabilities(driver: VmmKind, cmdline: string): VmmCapabilities {
  const qemu = driver === "qemu";
  return {
    accelerator: qemu && !/\baccel=kvm\b|-accel\0kvm\b|-enable-kvm\b/.test(cmdline) ? "tcg" : "kvm",
    channel: qemu ? "virtio-serial" : "vsock",
    userNetwork: true,
    freePageReporting: false,
    poweroffExits: qemu,
    tellsReboot: qemu,
    pause: true,
    maxDisks: 0,
    maxVcpus: 0,
  };
}

/**
 * Watches a VMM that can't be spoken to.
 *
 * @param why for whoever asks more of it than its end
 * @returns undefined where it has ended
 */
export async function holdVmm(
  record: VmmRecord,
  consoleLog: string,
  why: string,
): Promise<VmmHandle | undefined> {
  const cgroup = await VmCgroup.around(record.process.pid);
  const vmm = await VmmProcess.attach(record.process, cgroup && (() => cgroup.close()));
  if (vmm === undefined) return undefined;
  const log = await ConsoleLog.resume(consoleLog);
  let killed = false;
  const refuse = (what: string) => () => Promise.reject(unreachable(what, why));
  return {
    record,
    disks: recordedSerials(record.facts) ?? new Map(),
    exited: vmm.ended.then((end) => ({
      cause: killed ? ("killed" as const) : ("unknown" as const),
      detail: describeEnd(end),
    })),
    consoleLog,
    firstOutput: log.firstOutput,
    attachDisk: refuse("attach a disk"),
    detachDisk: refuse("detach a disk"),
    growDisk: refuse("grow a disk"),
    dialChannel: refuse("reach the guest's agent"),
    pause: refuse("pause the VM"),
    isPaused: async () => false,
    resume: refuse("resume the VM"),
    setBalloon: refuse("change the memory"),
    kill: async () => {
      killed = true;
      await vmm.kill();
    },
    consoleTail: (limit) => log.tail(limit),
    onStall: () => () => undefined,
    ...NO_CARDS,
    ports: NO_PORTS,
    stats: () => vmm.stats(),
    detach: async () => vmm.release(),
  };
}

function unreachable(what: string, why: string): KilnError {
  return new KilnError(Code.Unavailable, `${what}: kilnd can't speak to its VMM: ${why}`, {
    reason: "vmm-unreachable",
    hint: "the VM runs on, and kilnd tries again by itself; `kiln kill` ends the VM",
  });
}
