// kiln.v1.SystemService over the engine, and what only the daemon knows about itself.

import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { type Engine, type KilnEvent, type ListedVmm, PRUNE_FILTERS, parseFilters } from "../engine/index.js";
import type { SystemService } from "../gen/kiln/v1/system_pb.js";
import { toKernel } from "./convert-image.js";

/** One setting and where its value came from: "default", "file", "environment", "flag". */
export interface SettingOrigin {
  readonly name: string;
  readonly value: string;
  readonly origin: string;
}

/** The daemon's facts about itself. */
export interface DaemonFacts {
  readonly version: string;
  readonly agentVersion: string;
  readonly dataRoot: string;
  readonly runRoot: string;
  readonly socket: string;
  readonly rootless: boolean;
  readonly settings: readonly SettingOrigin[];
  /** Standing warnings of the daemon's own. */
  readonly warnings: readonly string[];
}

export function createSystemService(engine: Engine, facts: DaemonFacts): ServiceImpl<typeof SystemService> {
  const version = {
    version: facts.version,
    apiVersion: "kiln.v1",
    agentVersion: facts.agentVersion,
    nodeVersion: process.version,
    platform: `linux/${process.arch === "x64" ? "amd64" : process.arch}`,
  };
  return {
    version: () => version,
    info: async () => ({ version, ...toInfo(facts, await engine.system.info()) }),
    async diskUsage(asked) {
      const { rows, leaks, items } = await engine.system.diskUsage({ items: asked.items });
      return {
        rows: rows.map((row) => ({
          ...row,
          sizeBytes: BigInt(row.sizeBytes),
          reclaimableBytes: BigInt(row.reclaimableBytes),
        })),
        leaks: [...leaks],
        items: items.map((item) => ({ ...item, sizeBytes: BigInt(item.sizeBytes), vms: [...item.vms] })),
      };
    },
    async prune({ all, filters, volumes }) {
      const parsed = parseFilters("system prune", filters, PRUNE_FILTERS);
      const pruned = await engine.system.prune(all, parsed, volumes);
      return {
        vms: [...pruned.vms],
        images: [...pruned.images],
        bases: [...pruned.bases],
        volumes: [...pruned.volumes],
        networks: [...pruned.networks],
        reclaimedBytes: BigInt(pruned.bytes),
      };
    },
    async *events({ afterCursor, since, until, filters }, { signal }) {
      const options = {
        after: afterCursor === 0n ? undefined : afterCursor,
        sinceMs: since === undefined ? undefined : timestampMs(since),
        untilMs: until === undefined ? undefined : timestampMs(until),
        filters,
        signal,
      };
      for await (const event of engine.events.read(options)) yield { event: toEvent(event) };
    },
  };
}

function toInfo(facts: DaemonFacts, info: Awaited<ReturnType<Engine["system"]["info"]>>) {
  return {
    vmms: info.vmms.map(toVmm),
    kernel: info.kernel && toKernel(info.kernel),
    dataRoot: facts.dataRoot,
    runRoot: facts.runRoot,
    socket: facts.socket,
    pid: process.pid,
    cpus: info.cpus,
    memoryBytes: BigInt(info.memoryBytes),
    diskFreeBytes: BigInt(info.diskFreeBytes),
    rootless: facts.rootless,
    vms: info.vms,
    vmsRunning: info.vmsRunning,
    images: info.images,
    settings: facts.settings.map((setting) => ({ ...setting })),
    warnings: [...facts.warnings, ...info.warnings],
    confinement: info.confinement.map((part) => ({ ...part })),
  };
}

function toVmm(vmm: ListedVmm) {
  const { kind, usable, why, path, version, capabilities, chosen } = vmm;
  return {
    vmm: kind,
    accelerator: capabilities?.accelerator ?? "",
    version: version ?? "",
    chosen,
    why,
    path: path ?? "",
    capabilities: usable
      ? Object.fromEntries(Object.entries(capabilities ?? {}).map(([name, value]) => [name, String(value)]))
      : {},
  };
}

function toEvent(event: KilnEvent) {
  const { cursor, timeMs, type, action, id, attributes } = event;
  return { cursor, time: timestampFromMs(timeMs), type, action, id, attributes: { ...attributes } };
}
