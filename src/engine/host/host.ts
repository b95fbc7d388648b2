// What this host has: CPUs, memory, disk. The engine asks before it makes anything, so that a shortage is a clear
// refusal and not a VM that dies later.

import { readFile } from "node:fs/promises";
import { cpus } from "node:os";
import { Code, KilnError } from "../../base/errors.js";
import { freeBytes } from "../../base/files.js";
import { formatMemory, formatSize } from "../../base/units.js";

/** Facts that do not change while kilnd runs. */
export interface HostFacts {
  readonly cpus: number;
  readonly memoryBytes: number;
  /** "linux/amd64" */
  readonly platform: string;
}

/** The host as the engine sees it; tests give their own. */
export interface Host {
  readonly facts: HostFacts;
  /** MemAvailable of /proc/meminfo, bytes. */
  availableMemory(): Promise<number>;
  /** Bytes free on the file system of `path`. */
  freeDisk(path: string): Promise<number>;
}

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

/** Bytes of one field of /proc/meminfo (kB there); undefined where it is missing. */
export function meminfoField(text: string, field: string): number | undefined {
  const match = new RegExp(`^${field}:\\s+([0-9]+) kB$`, "m").exec(text);
  return match === null ? undefined : Number(match[1]) * 1024;
}

/** Looks at this machine once, for the facts that do not change; free memory and disk are asked each time. */
export async function readHost(): Promise<Host> {
  const meminfo = await readFile("/proc/meminfo", "utf8");
  return {
    facts: {
      cpus: cpus().length,
      memoryBytes: meminfoField(meminfo, "MemTotal") ?? 0,
      platform: `linux/${ARCHITECTURES[process.arch] ?? process.arch}`,
    },
    availableMemory: async () =>
      meminfoField(await readFile("/proc/meminfo", "utf8"), "MemAvailable") ?? Number.POSITIVE_INFINITY,
    freeDisk: freeBytes,
  };
}

/**
 * Refuses work that needs disk space which is not there.
 *
 * @param what for the message: "pull docker.io/library/nginx:latest"
 * @param needed bytes that the work writes, as far as known
 * @param reserve bytes that must be left for the VMs that run
 * @throws KilnError resource_exhausted `host-disk-full`
 */
export async function requireDisk(
  host: Host,
  what: string,
  path: string,
  needed: number,
  reserve: number,
): Promise<void> {
  const free = await host.freeDisk(path);
  if (free >= needed + reserve) return;
  throw new KilnError(
    Code.ResourceExhausted,
    `${what}: only ${formatSize(free)} are free at ${path}, ${formatSize(needed + reserve)} are needed`,
    {
      reason: "host-disk-full",
      hint: "free space, for example with `kiln system prune`, or lower disk.reserve in config.toml",
      details: { freeBytes: String(free), neededBytes: String(needed + reserve) },
    },
  );
}

/** A guest touches about this much by booting; more comes as it needs it. */
const BOOT_FOOTPRINT = 256 * 1024 ** 2;

/**
 * Refuses to start a VM that the host has no memory left for. Guests take memory as they touch it, so a VM of
 * 8 GiB may start with 1 GiB available; one that couldn't even boot may not.
 *
 * @throws KilnError resource_exhausted `host-memory-short`
 */
export async function requireMemory(host: Host, name: string, memoryBytes: number, reserve: number) {
  const available = await host.availableMemory();
  const needed = Math.min(memoryBytes, BOOT_FOOTPRINT) + reserve;
  if (available >= needed) return;
  throw new KilnError(
    Code.ResourceExhausted,
    `start VM ${name}: the host has ${formatMemory(available)} of memory available, ${formatMemory(needed)} are needed`,
    {
      reason: "host-memory-short",
      hint: "stop VMs that are not needed, or lower memory.reserve in config.toml",
      details: { availableBytes: String(available), neededBytes: String(needed) },
    },
  );
}
