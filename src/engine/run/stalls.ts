// What a VMM tells of the host while its guest runs: a full disk, on which the guest stands still.

import type { VmEntry } from "../vm/entry.js";
import { emitVmEvent } from "../vm/vm-events.js";
import { type EngineContext, isoNow, vmLogger } from "./context.js";
import type { LiveVm } from "./live-vm.js";
import type { Run } from "./run.js";
import { inBackground, written } from "./tasks.js";

export function watchStalls(ctx: EngineContext, { entry }: Run, live: LiveVm): void {
  live.handle.onStall((why) => inBackground(ctx, entry, () => stalled(ctx, entry, live, why)));
}

/** The VMM has paused the guest because the host's disk is full, or goes on. */
async function stalled(
  ctx: EngineContext,
  entry: VmEntry,
  live: LiveVm,
  why: string | undefined,
): Promise<void> {
  await ctx.lock.run(entry.id, async () => {
    if (entry.live !== live) return;
    if (why !== undefined && entry.state === "running") {
      // On that very disk: what can't be written must not keep it from being told.
      await written(ctx, entry, entry.change({ to: "paused", reason: "host-disk-full" }, { message: why }));
      vmLogger(ctx, entry).warn("the VM stands still: the host's disk is full", { why });
      emitVmEvent(ctx, entry, "pause", { reason: "host-disk-full" });
    } else if (why === undefined && entry.state === "paused" && entry.status.reason === "host-disk-full") {
      await written(ctx, entry, entry.change({ to: "running", at: isoNow(ctx) }));
      vmLogger(ctx, entry).info("the VM goes on: there is room on the host's disk");
      emitVmEvent(ctx, entry, "unpause");
      await live.goOn();
    }
  });
}
