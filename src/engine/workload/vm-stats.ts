// What a running VM uses: the VMM's share from the host's view, the guest's from the agent.

import { type MachineStats, usedMemory } from "../../agent/index.js";
import { delay } from "../../base/runtime.js";
import type { VmmStats } from "../../vmm/types.js";
import type { VmEntry } from "../vm/entry.js";

/** What one VM uses at one moment. */
export interface VmUsage {
  readonly id: string;
  readonly name: string;
  /** Of one core, of the VMM process. */
  readonly cpuPercent: number;
  /** In use in the guest. */
  readonly memoryBytes: number;
  readonly memoryLimitBytes: number;
  readonly rssBytes: number;
  /** What it was refused of the world outside since it began. */
  readonly egressDenied: number;
  readonly guest: GuestUsage | undefined;
}

/** The guest's own counters. */
type GuestUsage = Pick<
  MachineStats,
  "netRxBytes" | "netTxBytes" | "blockReadBytes" | "blockWriteBytes" | "processes"
>;

interface Sample {
  readonly atMs: number;
  readonly stats: VmmStats;
}

const INTERVAL_MS = 1_000;
/** One sample needs two looks; so far apart that a 10 ms clock tick does not matter. */
const ONCE_MS = 250;
const AGENT_CALL_MS = 2_000;

/**
 * One set of usages a second until the signal aborts; a single one with `once`. VMs that do not run are left out.
 *
 * @param select asked before each sample: VMs come and go
 */
export async function* sampleUsage(
  select: () => readonly VmEntry[],
  once: boolean,
  signal: AbortSignal | undefined,
): AsyncGenerator<VmUsage[]> {
  let before = await takeSamples(select());
  for (;;) {
    await delay(once ? ONCE_MS : INTERVAL_MS, signal);
    const entries = select();
    const now = await takeSamples(entries);
    const usages = await Promise.all(
      entries.map((entry) => usageOf(entry, before.get(entry.id), now.get(entry.id))),
    );
    yield usages.filter((usage) => usage !== undefined);
    if (once) return;
    before = now;
  }
}

async function takeSamples(entries: readonly VmEntry[]): Promise<Map<string, Sample>> {
  const samples = new Map<string, Sample>();
  await Promise.all(
    entries.map(async (entry) => {
      const stats = await entry.live?.handle.stats().catch(() => undefined); // it may end at any moment
      if (stats !== undefined) samples.set(entry.id, { atMs: performance.now(), stats });
    }),
  );
  return samples;
}

async function usageOf(
  entry: VmEntry,
  before: Sample | undefined,
  now: Sample | undefined,
): Promise<VmUsage | undefined> {
  if (now === undefined) return undefined;
  const [guest, egressDenied = 0] = await Promise.all([
    entry.state === "paused" ? undefined : guestStats(entry),
    entry.live?.denied(),
  ]);
  return {
    id: entry.id,
    name: entry.name,
    cpuPercent: before === undefined ? 0 : cpuPercent(before, now),
    memoryBytes:
      guest === undefined
        ? 0
        : usedMemory(guest.memoryTotalBytes, guest.memoryAvailableBytes, entry.record.config.memoryBytes),
    memoryLimitBytes: entry.record.config.memoryBytes,
    rssBytes: now.stats.rssBytes,
    egressDenied,
    guest,
  };
}

function cpuPercent(before: Sample, now: Sample): number {
  const elapsed = now.atMs - before.atMs;
  return elapsed <= 0 ? 0 : Math.max(0, ((now.stats.cpuMs - before.stats.cpuMs) / elapsed) * 100);
}

async function guestStats(entry: VmEntry): Promise<MachineStats | undefined> {
  return entry.live?.link.current?.machine.stats({ timeoutMs: AGENT_CALL_MS }).catch(() => undefined);
}
