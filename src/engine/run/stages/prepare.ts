// The first stage: everything that can be refused before anything runs, and all that a VMM is launched with.

import { Code, KilnError } from "../../../base/errors.js";
import { failpoint } from "../../../base/failpoint.js";
import { parsePlatform } from "../../../image/index.js";
import type { VmmProbe } from "../../../vmm/types.js";
import type { PlannedSet } from "../../attach/set.js";
import type { VmmRoom } from "../../common/rooms.js";
import { guestPlatform, requireRunnable } from "../../host/guest-platform.js";
import { requireDisk, requireMemory } from "../../host/host.js";
import { cniCardsOf } from "../../networks/cni-uses.js";
import type { VmEntry } from "../../vm/entry.js";
import type { VmRecord } from "../../vm/record.js";
import { emitVmEvent } from "../../vm/vm-events.js";
import { attachedTo, specOf } from "../attached.js";
import type { Boot, Prepared } from "../boot.js";
import { type EngineContext, vmLogger } from "../context.js";
import { pendingCopies } from "../pending-copies.js";
import { settleUser } from "../vm-users.js";

export async function prepare(boot: Boot): Promise<Prepared> {
  await settleUser(boot.ctx, boot.run.entry, false);
  const prepared = await prepareVm(boot);
  boot.timings.preparedMs = boot.clock();
  return prepared;
}

/** Refuses for memory, disk, base, cow, kernel, VMM. */
async function prepareVm({ ctx, run, runDirectory, owned, leases }: Boot): Promise<Prepared> {
  const { entry, signal } = run;
  const { record } = entry;
  const { host, settings, rooms, references } = ctx;
  entry.requireRecord("start");
  // Force takes a kernel from its VMs, but not from under a VMM that is about to open it.
  const kernel = references.lease({ noun: "kernel", id: record.kernelId }, `VM ${entry.name} is starting`);
  leases.push("let go of the kernel", kernel.release);
  await pendingCopies(ctx, entry).list();
  await requireMemory(host, entry.name, record.config.memoryBytes, settings.memoryReserveBytes);
  await requireDisk(host, `start VM ${entry.name}`, ctx.dataRoot, 0, settings.diskReserveBytes);
  const attached = attachedTo(ctx, entry, record.program.ports);
  await attached.acquire("prepare", { signal }, owned);
  failpoint("run.attached");
  const { driver, probe } = await chooseVmm(rooms.vmms, record, settings.vmm);
  requireRunnable(
    guestPlatform(host.facts, probe),
    parsePlatform(record.config.platform),
    `start VM ${entry.name}`,
    "another VMM may have been chosen when it was made: choose it again with --vmm or vmm= in config.toml",
  );
  const assets = await ctx.kernels.prepare(record.kernelId);
  const planned = attached.plan({ capabilities: probe.capabilities, modules: assets.modules });
  tellOfProbe(ctx, entry, probe, planned);
  const hotplug = (probe.capabilities?.hotplugDisks ?? 0) > 0 && mayGetDisks(record);
  const hotplugCards = (probe.capabilities?.hotplugCards ?? 0) > 0 && mayGetCards(record);
  // As its devices want it: modules that it has no use for would be read at each of its boots.
  const buses = driver.busesOf(planned.disks.specs, hotplug);
  const initrd = await ctx.kernels.initramfs(record.kernelId, buses, hotplugCards);
  const files = { kernel: assets.kernel.vmlinux, initrd };
  return {
    driver,
    assets,
    attached,
    planned,
    spec: specOf(ctx, entry, runDirectory, files, planned, { hotplug, hotplugCards }),
  };
}

/**
 * Cards of named networks need a VMM that takes them, those of CNI networks one that inherits taps: where it is not named which,
 * the best of those.
 *
 * @throws KilnError failed_precondition `vmm-without-networks`; as `VmmRoom.choose`
 */
async function chooseVmm(vmms: VmmRoom, record: VmRecord, byDefault: string) {
  const { config } = record;
  const isCni = cniCardsOf(record).length > 0;
  const chosen = await vmms.choose(config.vmm || byDefault);
  const takes = ({ probe }: Pick<typeof chosen, "probe">) => {
    const cards = probe.capabilities?.networkCards;
    return isCni ? cards === "descriptor" : cards !== undefined;
  };
  if (config.networks.length === 0 || takes(chosen)) return chosen;
  if ((config.vmm || byDefault) === "") {
    const other = await vmms.choose("qemu");
    if (takes(other)) return other;
  }
  throw new KilnError(
    Code.FailedPrecondition,
    `${chosen.driver.kind} can't be put on ${isCni ? "CNI" : "named"} networks`,
    {
      reason: "vmm-without-networks",
      hint: "make the VM with --vmm qemu, or with --network user",
    },
  );
}

/** A VM for one program and no more is spared the controller, which costs each of its boots a little. */
function mayGetDisks({ config: { autoRemove, mounts } }: VmRecord): boolean {
  return !autoRemove || mounts.length > 0;
}

/** One on no named network is spared a bus, which all of its kernel's drivers would look at. */
function mayGetCards({ config: { networks } }: VmRecord): boolean {
  return networks.length > 0;
}

function tellOfProbe(ctx: EngineContext, entry: VmEntry, probe: VmmProbe, { cards }: PlannedSet): void {
  if (entry.record.config.network === "user" && cards.length === 0) {
    vmLogger(ctx, entry).warn("the VM gets no network card; its published ports work", { why: probe.why });
  }
  if (probe.exposed === undefined) return;
  vmLogger(ctx, entry).warn("the VM's jail shows all of the host's programs", { why: probe.exposed });
  emitVmEvent(ctx, entry, "jail", { shows: "/usr", why: probe.exposed });
}
