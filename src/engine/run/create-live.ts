// What runs of a VM whose VMM exists, launched or found.

import type { VmmHandle } from "../../vmm/types.js";
import { BridgeCards } from "../attach/bridge-card.js";
import { portRulesOf } from "../attach/port-rules.js";
import type { AttachmentSet } from "../attach/set.js";
import { VolumeMount } from "../attach/volume.js";
import { type EngineContext, vmLogger } from "./context.js";
import { LiveVm } from "./live-vm.js";
import type { Run } from "./run.js";

export function createLive(ctx: EngineContext, run: Run, handle: VmmHandle, attached: AttachmentSet): LiveVm {
  const { entry } = run;
  const { accelerator } = handle.record.capabilities;
  return new LiveVm({
    name: entry.name,
    handle,
    attached,
    makeCards: () => new BridgeCards({ record: entry.record }, ctx, []),
    makeMount: (mount) => new VolumeMount({ record: entry.record }, mount, ctx),
    portRules: portRulesOf(entry, ctx),
    rooms: ctx.rooms,
    vmLog: entry.log,
    log: vmLogger(ctx, entry),
    helloTimeoutMs: ctx.settings.helloTimeoutMs[accelerator],
    linkPauses: ctx.settings.linkPauses,
    now: ctx.now,
    companion: ctx.companions.attend(entry),
    want: (intent, why) => run.want(intent, why),
  });
}
