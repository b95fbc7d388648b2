// Volumes that a killed kilnd was attaching to a VM, or detaching from it. Its record says what the VM is to have, and whoever
// asked was told nothing: what the guest lacks of that it is given.

import { hasReason, KilnError } from "../../base/errors.js";
import { type EngineContext, vmLogger } from "./context.js";
import type { LiveVm } from "./live-vm.js";
import type { Run } from "./run.js";

/** A guest that is paused is heard when it goes on. */
const WAIT_MS = 2 ** 31 - 1;

/** For a VM that was taken over. Never rejects. */
export async function settleMounts(ctx: EngineContext, run: Run, live: LiveVm): Promise<void> {
  const { entry } = run;
  if (!entry.record.config.mounts.some(({ type }) => type === "volume")) return;
  const log = vmLogger(ctx, entry);
  try {
    await live.link.session({ timeoutMs: WAIT_MS });
    await ctx.lock.run(entry.id, async () => {
      if (entry.run !== run || entry.state !== "running") return;
      for (const target of await live.mounts.settle())
        log.info("a volume was attached in part, and is there now", { target });
    });
  } catch (error) {
    // kilnd goes, or the VM has ended; or it is of a release that attached nothing.
    if (ctx.leaving.aborted || entry.run !== run || hasReason(error, "agent-too-old")) return;
    log.warn("a volume that was attached in part is not there", { why: KilnError.from(error).message });
  }
}
