// What a VMM is launched with, and found again with.

import type { BootAssets } from "../kernels/kernel-assets.js";
import type { SpecFacts } from "../vm/boot-plan.js";
import type { VmEntry } from "../vm/entry.js";
import type { EngineContext } from "./context.js";

/** Where a boot's files are. A VM that runs already needs none of them, an initramfs least of all. */
export interface AssetPaths extends Pick<BootAssets, "modules"> {
  readonly kernel: Pick<BootAssets["kernel"], "vmlinux">;
  readonly initrd?: string;
}

export async function specFacts(
  ctx: EngineContext,
  entry: VmEntry,
  runDirectory: string,
  assets: AssetPaths,
  userNetwork: boolean,
): Promise<SpecFacts> {
  const { record } = entry;
  const networked = record.config.network === "user" && userNetwork;
  return {
    record,
    runDirectory,
    stateDirectory: ctx.store.vmmDirectory(entry.id),
    kernel: assets.kernel.vmlinux,
    initrd: assets.initrd ?? "",
    modules: assets.modules,
    base: ctx.bases.path(record.base),
    cow: ctx.store.cowPath(entry.id),
    network: networked ? await ctx.rooms.network.planUser(entry.id, record.config.dns) : undefined,
    runAs: ctx.ownership.runAs(record.uid),
    environment: ctx.mark.environment(runDirectory),
  };
}
