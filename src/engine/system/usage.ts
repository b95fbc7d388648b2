// What kiln takes on disk, what of it could go, and what belongs to nothing (leaks).

import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { directoryBytes } from "../../base/files.js";
import { vmRunDirectory } from "../../base/paths.js";
import { markOf } from "../host/run-directories.js";
import { findVmms } from "../host/vmm-processes.js";
import type { Noun } from "../objects/references.js";
import type { EngineContext } from "../run/context.js";
import { isLive } from "../vm/state.js";
import { countShares, type UsageItem, usageItems } from "./usage-items.js";

export interface UsageRow {
  readonly type: "images" | "bases" | "vms" | "volumes" | "shares" | "kernels" | "downloads";
  readonly total: number;
  readonly active: number;
  /** Blocks really taken. */
  readonly sizeBytes: number;
  readonly reclaimableBytes: number;
}

/** What `kiln system df` shows. */
export interface DiskUsage {
  readonly rows: readonly UsageRow[];
  /** Files, directories and processes that no object owns; empty unless something went wrong. */
  readonly leaks: readonly string[];
  /** Each object by itself; empty where they were not asked for. */
  readonly items: readonly UsageItem[];
}

export async function diskUsage(ctx: EngineContext, { items }: { items: boolean }): Promise<DiskUsage> {
  const [images, bases, vms, volumes, kernels] = await Promise.all([
    imageRows(ctx),
    baseRow(ctx),
    vmRow(ctx),
    volumeRow(ctx),
    kernelRow(ctx),
  ]);
  // What is shared is the host's own: it takes nothing of kiln's disk.
  const shares: UsageRow = { type: "shares", ...countShares(ctx), sizeBytes: 0, reclaimableBytes: 0 };
  return {
    rows: [...images, bases, vms, volumes, shares, kernels],
    leaks: await findLeaks(ctx),
    items: items ? await usageItems(ctx) : [],
  };
}

async function imageRows(ctx: EngineContext): Promise<UsageRow[]> {
  const { images } = ctx.rooms;
  const { bytes, ingestBytes } = await images.usage();
  const all = images.list();
  const free = freeOf(ctx, "image", all);
  const idle = all.filter(({ id }) => free.has(id));
  const inUse = new Set(
    all.filter(({ id }) => !free.has(id)).flatMap(({ layers }) => layers.map(({ digest }) => digest)),
  );
  const reclaimable = new Map<string, number>();
  for (const layer of idle.flatMap((image) => image.layers)) {
    if (!inUse.has(layer.digest)) reclaimable.set(layer.digest, layer.sizeBytes);
  }
  return [
    {
      type: "images",
      total: all.length,
      active: all.length - idle.length,
      sizeBytes: bytes,
      reclaimableBytes: sum(reclaimable.values()),
    },
    {
      type: "downloads",
      total: ingestBytes > 0 ? 1 : 0,
      active: 0,
      sizeBytes: ingestBytes,
      reclaimableBytes: ingestBytes,
    },
  ];
}

async function baseRow(ctx: EngineContext): Promise<UsageRow> {
  const sizes = await ctx.bases.usage();
  const free = new Set(ctx.references.free("base", sizes.keys()));
  const idle = [...sizes].filter(([key]) => free.has(key));
  return {
    type: "bases",
    total: sizes.size,
    active: sizes.size - idle.length,
    sizeBytes: sum(sizes.values()),
    reclaimableBytes: sum(idle.map(([, bytes]) => bytes)),
  };
}

async function vmRow(ctx: EngineContext): Promise<UsageRow> {
  const sizes = await Promise.all(
    ctx.vms
      .list()
      .map(async (entry) => ({ entry, bytes: await directoryBytes(ctx.store.directory(entry.id)) })),
  );
  const idle = sizes.filter(({ entry }) => !isLive(entry.state));
  return {
    type: "vms",
    total: sizes.length,
    active: sizes.length - idle.length,
    sizeBytes: sum(sizes.map(({ bytes }) => bytes)),
    reclaimableBytes: sum(idle.map(({ bytes }) => bytes)),
  };
}

/** What no VM has could go, with a name or without: that prune takes those with one only where it is told so. */
async function volumeRow(ctx: EngineContext): Promise<UsageRow> {
  const { volumes } = ctx;
  const all = await Promise.all(
    volumes.list().map(async ({ id }) => ({ id, bytes: await volumes.usedBytes(id) })),
  );
  const free = freeOf(ctx, "volume", all);
  const idle = all.filter(({ id }) => free.has(id));
  return {
    type: "volumes",
    total: all.length,
    active: all.length - idle.length,
    sizeBytes: sum(all.map(({ bytes }) => bytes)),
    reclaimableBytes: sum(idle.map(({ bytes }) => bytes)),
  };
}

async function kernelRow(ctx: EngineContext): Promise<UsageRow> {
  const { kernels } = ctx.rooms;
  const chosen = kernels.default()?.kernel.id;
  const all = kernels.list();
  const free = freeOf(ctx, "kernel", all);
  const idle = all.filter(({ id }) => free.has(id) && id !== chosen);
  const builds = await ctx.rooms.kernelBuilder.usage();
  return {
    type: "kernels",
    total: all.length,
    active: all.length - idle.length,
    sizeBytes: (await directoryBytes(join(ctx.dataRoot, "kernels"))) + (await ctx.kernels.usage()) + builds,
    reclaimableBytes: sum(idle.map(({ sizeBytes }) => sizeBytes)) + builds,
  };
}

async function findLeaks(ctx: EngineContext): Promise<string[]> {
  const entries = ctx.vms.list();
  const known = new Set(entries.map((entry) => entry.id));
  // By name: what a status says of a path may be damaged, or be another path to the same.
  const launched = entries.filter(({ state, status }) => isLive(state) || status.launch !== undefined);
  const names = new Set(launched.map(({ id }) => basename(vmRunDirectory(ctx.runRoot, id))));
  const vmms = (await findVmms(ctx)).filter(({ runDirectory }) => !names.has(basename(runDirectory)));
  const runs = await strayRunDirectories(ctx, names);
  const asides = await readdir(join(ctx.dataRoot, "quarantine")).catch(() => []);
  return [
    ...(await ctx.store.strays(known)),
    ...(await ctx.volumes.strays()),
    ...(await ctx.networks.strays()),
    ...(await ctx.bases.strays()),
    ...(await ctx.rooms.kernels.strays()),
    ...runs,
    ...vmms.map(({ process, runDirectory }) => `process ${process.pid} (${runDirectory})`),
    ...asides.map((name) => join(ctx.dataRoot, "quarantine", name)),
  ];
}

async function strayRunDirectories(ctx: EngineContext, known: ReadonlySet<string>): Promise<string[]> {
  const strays: string[] = [];
  for (const name of await readdir(join(ctx.runRoot, "v")).catch(() => [])) {
    const directory = join(ctx.runRoot, "v", name);
    if (!known.has(name) && (await markOf(ctx, directory)) !== "another's") strays.push(directory);
  }
  return strays;
}

/** Ids of those that nobody uses, and nobody is about to. */
function freeOf(ctx: EngineContext, noun: Noun, all: readonly { readonly id: string }[]): Set<string> {
  return new Set(
    ctx.references.free(
      noun,
      all.map(({ id }) => id),
    ),
  );
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
