// The first stage: everything that can be refused before anything runs, and all that a VMM is launched with.

import { parsePlatform } from "../../../image/index.js";
import type { VmmDriver } from "../../../vmm/types.js";
import { cowBase, requireBase } from "../../disks/bases.js";
import { guestPlatform, requireRunnable } from "../../host/guest-platform.js";
import { requireDisk, requireMemory } from "../../host/host.js";
import type { BootAssets } from "../../kernels/kernel-assets.js";
import { planDisks, planSpec } from "../../vm/boot-plan.js";
import type { VmEntry } from "../../vm/entry.js";
import { emitVmEvent } from "../../vm/vm-events.js";
import type { Boot, Prepared } from "../boot.js";
import { type EngineContext, vmLogger } from "../context.js";
import { pendingCopies } from "../pending-copies.js";
import { specFacts } from "../spec-facts.js";
import { settleUser } from "../vm-users.js";

export async function prepare(boot: Boot): Promise<Prepared> {
  await settleUser(boot.ctx, boot.run.entry, false);
  const prepared = await prepareVm(boot);
  boot.timings.preparedMs = boot.clock();
  return prepared;
}

/** Refuses for memory, disk, base, cow, kernel, VMM. */
async function prepareVm({ ctx, run, runDirectory }: Boot): Promise<Prepared> {
  const { entry, signal } = run;
  const { record } = entry;
  const { host, settings, store, rooms } = ctx;
  entry.requireRecord("start");
  await pendingCopies(ctx, entry).list();
  await requireMemory(host, entry.name, record.config.memoryBytes, settings.memoryReserveBytes);
  await requireDisk(host, `start VM ${entry.name}`, ctx.dataRoot, 0, settings.diskReserveBytes);
  const { imageId, image, diskBytes } = record.config;
  const known = { image: rooms.images.find(imageId || image), imageName: image || imageId, diskBytes };
  const base = await requireBase(ctx.bases, { name: entry.name, key: record.base, ...known }, { signal });
  await rooms.disks.checkCow(store.cowPath(entry.id), cowBase(base));
  const { driver, probe } = await rooms.vmms.choose(record.config.vmm || settings.vmm);
  requireRunnable(
    guestPlatform(host.facts, probe),
    parsePlatform(record.config.platform),
    `start VM ${entry.name}`,
    "another VMM may have been chosen when it was made: choose it again with --vmm or vmm= in config.toml",
  );
  const assets = await ctx.kernels.prepare(record.kernelId);
  const userNetwork = probe.capabilities?.userNetwork ?? false;
  if (record.config.network === "user" && !userNetwork) {
    vmLogger(ctx, entry).warn("the VM gets no network card; its published ports work", { why: probe.why });
  }
  if (probe.exposed !== undefined) {
    vmLogger(ctx, entry).warn("the VM's jail shows all of the host's programs", { why: probe.exposed });
    emitVmEvent(ctx, entry, "jail", { shows: "/usr", why: probe.exposed });
  }
  const files = { ...assets, initrd: await initramfs(ctx, entry, driver, assets) };
  const facts = await specFacts(ctx, entry, runDirectory, files, userNetwork);
  return { driver, assets, facts, spec: planSpec(facts) };
}

/** As its disks want it: modules that it has no use for would be read at each of its boots. */
function initramfs(
  { bases, kernels, store }: EngineContext,
  entry: VmEntry,
  driver: VmmDriver,
  assets: BootAssets,
) {
  const { base, kernelId } = entry.record;
  const disks = planDisks({ base: bases.path(base), cow: store.cowPath(entry.id), modules: assets.modules });
  return kernels.initramfs(kernelId, driver.busesOf(disks));
}
