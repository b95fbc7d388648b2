// Networks that a killed kilnd was putting a VM on, or taking it off. Its record says what the VM is on, and whoever asked was told
// nothing: what it lacks of that it is given.

import { KilnError } from "../../base/errors.js";
import { cardsOf } from "../networks/network-uses.js";
import { type EngineContext, vmLogger } from "./context.js";
import type { LiveVm } from "./live-vm.js";
import type { Run } from "./run.js";

/** A guest that is paused is heard when it goes on. */
const WAIT_MS = 2 ** 31 - 1;

/** For a VM that was taken over. Never rejects. */
export async function settleCards(ctx: EngineContext, run: Run, live: LiveVm): Promise<void> {
  const { entry } = run;
  if (cardsOf(entry.record).length === 0) return;
  const log = vmLogger(ctx, entry);
  try {
    await live.link.session({ timeoutMs: WAIT_MS });
    await ctx.lock.run(entry.id, async () => {
      if (entry.run !== run || entry.state !== "running") return;
      for (const mac of await live.cards.settle())
        log.info("a network card had come in part, and is there now", { mac });
    });
  } catch (error) {
    // kilnd goes, or the VM has ended.
    if (ctx.leaving.aborted || entry.run !== run) return;
    log.warn("a network card that had come in part is not there", { why: KilnError.from(error).message });
  }
}
