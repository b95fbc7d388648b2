// What each object takes on disk, and which VMs have it: `kiln system df -v`.

import { directoryBytes } from "../../base/files.js";
import type { Noun } from "../objects/references.js";
import type { EngineContext } from "../run/context.js";
import { isLive } from "../vm/state.js";

export interface UsageItem {
  readonly type: "images" | "bases" | "vms" | "volumes" | "shares" | "kernels";
  /** Empty for a shared directory, which is the host's. */
  readonly id: string;
  /** For people; of a shared directory its path on the host. */
  readonly name: string;
  /** Blocks really taken; of an image its layers, which others may have too. */
  readonly sizeBytes: number;
  /** Names of the VMs that have it, whether they run or not. */
  readonly vms: readonly string[];
}

export async function usageItems(ctx: EngineContext): Promise<UsageItem[]> {
  const images = ctx.rooms.images.list().map(({ id, names, layers }) => ({
    ...{ type: "images" as const, id, name: names[0] ?? "" },
    ...{ sizeBytes: sum(layers.map(({ sizeBytes }) => sizeBytes)), vms: vmsWith(ctx, "image", id) },
  }));
  const bases = [...(await ctx.bases.usage())].map(([id, sizeBytes]) => {
    return { type: "bases" as const, id, name: "", sizeBytes, vms: vmsWith(ctx, "base", id) };
  });
  const vms = ctx.vms.list().map(async ({ id, name }) => {
    const sizeBytes = await directoryBytes(ctx.store.directory(id));
    return { type: "vms" as const, id, name, sizeBytes, vms: [] };
  });
  const volumes = ctx.volumes.list().map(async ({ id, name }) => {
    const sizeBytes = await ctx.volumes.usedBytes(id);
    return { type: "volumes" as const, id, name, sizeBytes, vms: vmsWith(ctx, "volume", id) };
  });
  const kernels = ctx.rooms.kernels.list().map(({ id, name, sizeBytes }) => {
    return { type: "kernels" as const, id, name, sizeBytes, vms: vmsWith(ctx, "kernel", id) };
  });
  return [
    ...images,
    ...bases,
    ...(await Promise.all(vms)),
    ...(await Promise.all(volumes)),
    ...shares(ctx),
    ...kernels,
  ];
}

/** Shared directories: how many there are among the mounts of VMs, and how many of those are served now. */
export function countShares(ctx: EngineContext): { readonly total: number; readonly active: number } {
  const of = (vms: ReturnType<typeof ctx.vms.list>) =>
    sum(vms.map(({ record }) => record.config.mounts.filter(({ type }) => type === "bind").length));
  const vms = ctx.vms.list();
  return { total: of(vms), active: of(vms.filter(({ state }) => isLive(state))) };
}

/** Each directory once, whoever has it. */
function shares(ctx: EngineContext): UsageItem[] {
  const bySource = new Map<string, string[]>();
  for (const { name, record } of ctx.vms.list()) {
    const sources = record.config.mounts.filter(({ type }) => type === "bind").map(({ source }) => source);
    for (const source of new Set(sources)) bySource.set(source, [...(bySource.get(source) ?? []), name]);
  }
  return [...bySource].map(([name, vms]) => ({ type: "shares", id: "", name, sizeBytes: 0, vms }));
}

function vmsWith(ctx: EngineContext, noun: Noun, id: string): string[] {
  const users = ctx.references.usersOf({ noun, id }).map(({ from }) => from);
  const ids = new Set(users.filter((user) => user.noun === "vm").map((user) => user.id));
  return [...ids].map((vm) => ctx.vms.get(vm)?.name ?? vm);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
