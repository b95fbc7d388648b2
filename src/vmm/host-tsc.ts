// The rate of the host's time stamp counter. A guest under TCG reads the host's counter and, on microvm, cannot find
// out its rate by itself on a busy host: it hangs. A wrong rate makes the guest's clock run wrong, so sources are
// asked in order of their exactness, and the answer is kept until the next boot of the host.

import { closeSync, constants, openSync, readSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../base/errors.js";
import { readJson, writeJsonAtomic } from "../base/files.js";

const CACHE_FILE = "host-tsc.json";

/** A rate outside of these is a misreading. */
const PLAUSIBLE_KHZ = { least: 100_000, most: 20_000_000 };

interface CachedRate {
  readonly bootId: string;
  readonly khz: number;
}

/**
 * kHz; undefined where nothing on this host tells.
 *
 * @param cacheDirectory existing directory
 * @param calibrate measures, where neither kernel log nor processor tell exactly
 */
export async function hostTscKhz(
  cacheDirectory: string,
  calibrate: () => Promise<number | undefined>,
): Promise<number | undefined> {
  const bootId = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
  const path = join(cacheDirectory, CACHE_FILE);
  const cached = asCachedRate(await readJson(path).catch(() => undefined));
  if (cached?.bootId === bootId) return cached.khz;
  const khz = await findRate(calibrate);
  if (khz !== undefined)
    await writeJsonAtomic(path, { bootId, khz } satisfies CachedRate, { durable: false });
  return khz;
}

async function findRate(calibrate: () => Promise<number | undefined>): Promise<number | undefined> {
  const fromLog = parseKernelLog(readKernelLog());
  if (fromLog !== undefined) return fromLog;
  const cpuinfo = await readFile("/proc/cpuinfo", "utf8");
  return parseVirtualCpu(cpuinfo) ?? plausible(await calibrate()) ?? parseNominal(cpuinfo);
}

/** The kernel's own finding; the refined one where there is one. */
export function parseKernelLog(log: string): number | undefined {
  const refined = /tsc: Refined TSC clocksource calibration: ([0-9.]+) MHz/.exec(log);
  const detected = /tsc: Detected ([0-9.]+) MHz (?:processor|TSC)/.exec(log);
  return khzOf((refined ?? detected)?.[1]);
}

/** Inside a virtual machine "cpu MHz" is the counter's rate: there is no frequency scaling to see. */
export function parseVirtualCpu(cpuinfo: string): number | undefined {
  if (!/^flags\s*:.*\bhypervisor\b/m.test(cpuinfo)) return undefined;
  return khzOf(/^cpu MHz\s*:\s*([0-9.]+)/m.exec(cpuinfo)?.[1]);
}

/** "... CPU @ 2.60GHz": the rate that the maker printed on it, right to a percent or so. */
export function parseNominal(cpuinfo: string): number | undefined {
  const ghz = /^model name\s*:.*@ ([0-9.]+)GHz/m.exec(cpuinfo)?.[1];
  return ghz === undefined ? undefined : khzOf(String(Number(ghz) * 1000));
}

function khzOf(mhz: string | undefined): number | undefined {
  return mhz === undefined ? undefined : plausible(Math.round(Number(mhz) * 1000));
}

function plausible(khz: number | undefined): number | undefined {
  if (khz === undefined || !Number.isFinite(khz)) return undefined;
  return khz >= PLAUSIBLE_KHZ.least && khz <= PLAUSIBLE_KHZ.most ? khz : undefined;
}

/** /dev/kmsg: one record a read, EAGAIN at the end. Empty where an ordinary user may not read it. */
function readKernelLog(): string {
  let fd: number;
  try {
    fd = openSync("/dev/kmsg", constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return "";
  }
  try {
    return readRecords(fd);
  } finally {
    closeSync(fd);
  }
}

function readRecords(fd: number): string {
  const record = Buffer.alloc(8192);
  let log = "";
  // The boot's messages come first; a log that never ends must not hold kilnd up.
  for (let count = 0; count < 5000; count++) {
    try {
      const length = readSync(fd, record);
      if (length === 0) break;
      const line = record.toString("latin1", 0, length);
      if (line.includes("tsc")) log += line;
    } catch (error) {
      // EPIPE: the record was overwritten before we read it; the next read goes on after it.
      if (errnoOf(error) !== "EPIPE") break;
    }
  }
  return log;
}

function asCachedRate(value: unknown): CachedRate | undefined {
  const { bootId, khz } = (value ?? {}) as Partial<CachedRate>;
  if (typeof bootId !== "string" || typeof khz !== "number") return undefined;
  return plausible(khz) === undefined ? undefined : { bootId, khz };
}
