// What is attached to a VM, for a boot of it and for its takeover; and what its VMM is launched and found again with.

import type { NetworkNotice } from "../../net/types.js";
import type { GuestPlace, ShareNotice } from "../../share/types.js";
import type { VmmHandle, VmmSpec } from "../../vmm/types.js";
import { attachmentsOf } from "../attach/kinds.js";
import type { AttachmentSet, PlannedSet, Refused } from "../attach/set.js";
import { runDirectoryOf } from "../host/run-directories.js";
import { planSpec } from "../vm/boot-plan.js";
import type { VmEntry } from "../vm/entry.js";
import type { PortBinding } from "../vm/vm-config.js";
import { emitVmEvent } from "../vm/vm-events.js";
import { type EngineContext, vmLogger } from "./context.js";
import type { LiveVm } from "./live-vm.js";
import { written } from "./tasks.js";

/** @param ports those of the record for a boot, those of the status for a VM that runs */
export function attachedTo(ctx: EngineContext, entry: VmEntry, ports: readonly PortBinding[]): AttachmentSet {
  const log = vmLogger(ctx, entry);
  const onNetwork = ({ down, message: why }: NetworkNotice) => {
    if (down) log.error("the VM's network is down", { why });
    else log.warn("the VM's network was interrupted", { why });
    emitVmEvent(ctx, entry, "network", { state: down ? "down" : "restarted" });
  };
  const onShare = (target: string, { away, message: why }: ShareNotice) => {
    if (away) log.warn("a shared directory of the VM is away", { target, why });
    else log.info("a shared directory of the VM is served again", { target });
    emitVmEvent(ctx, entry, "share", { target, ...(away ? { state: "away", why } : { state: "back" }) });
  };
  const guestPlaces = () => placesOf(ctx.vms.list());
  const { given = {} } = entry.status;
  const vm = { record: entry.record, given, ports, onNetwork, onShare, guestPlaces };
  return attachmentsOf(vm, ctx, (what, { message: why }) => log.warn("a release failed", { what, why }));
}

/** Also of those that do not run: what their guests have written is still there. */
function placesOf(entries: readonly VmEntry[]): GuestPlace[] {
  return entries.flatMap(({ name, record }) =>
    record.config.mounts
      .filter(({ type, readOnly }) => type === "bind" && !readOnly)
      .map(({ source }) => ({ path: source, vm: name })),
  );
}

/** Where a boot's files are. */
export interface BootFiles {
  readonly kernel: string;
  readonly initrd: string;
}

/** Of a VM that runs already: it needs them no more. */
const NO_FILES: BootFiles = { kernel: "", initrd: "" };

/** @param hotplug what can come and go while it runs */
export function specOf(
  ctx: EngineContext,
  { id, record }: VmEntry,
  runDirectory: string,
  files: BootFiles,
  { disks, cards, ports }: PlannedSet,
  hotplug: Pick<VmmSpec, "hotplug" | "hotplugCards"> = {},
): VmmSpec {
  return planSpec({
    ...(hotplug.hotplug === true ? { hotplug: true } : {}),
    ...(hotplug.hotplugCards === true ? { hotplugCards: true } : {}),
    ...{ record, runDirectory, ...files, disks: disks.specs, cards, ports },
    stateDirectory: ctx.store.vmmDirectory(id),
    runAs: ctx.ownership.runAs(record.uid),
    environment: ctx.mark.environment(runDirectory),
  });
}

/** Takes over what a VMM was launched with that an earlier kilnd has left. The VM is worth more than any of it. */
export async function adoptAttached(
  ctx: EngineContext,
  entry: VmEntry,
  attached: AttachmentSet,
  vmm: VmmHandle,
): Promise<void> {
  const { capabilities } = vmm.record;
  const planned = attached.plan({ capabilities, modules: undefined });
  const spec = specOf(ctx, entry, await runDirectoryOf(ctx, entry), NO_FILES, planned);
  await attached.adopt("prepare", {}, refusal(ctx, entry));
  await attached.adopt("launch", { spec, vmm }, refusal(ctx, entry));
}

/** Its ports, for a guest that is up. One that somebody else has taken meanwhile must not cost the VM. */
export async function adoptPorts(ctx: EngineContext, entry: VmEntry, live: LiveVm): Promise<void> {
  await live.attached.adopt("hello", { guest: live.guest }, refusal(ctx, entry));
  await written(ctx, entry, entry.note({ ports: live.ports.bindings }));
}

function refusal(ctx: EngineContext, entry: VmEntry): Refused {
  return (what, { message }) => {
    vmLogger(ctx, entry).warn("what was attached to the VM can't be taken over", { what, why: message });
  };
}
