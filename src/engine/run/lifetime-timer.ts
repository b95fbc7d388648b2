// The timer that ends a VM at the end of its lifetime.

import { KilnError } from "../../base/errors.js";
import type { VmEntry } from "../vm/entry.js";
import { isOver } from "../vm/lifetime.js";
import { type EngineContext, vmLogger } from "./context.js";

/** Sets the timer of a VM that has begun to run, or was found running. `expire` is called once its time is over. */
export function armLifetime(
  ctx: EngineContext,
  entry: VmEntry,
  expire: (entry: VmEntry) => Promise<void>,
): void {
  entry.lifetimeAlarm.clear();
  if (entry.status.expiresAt === undefined || entry.removing) return;
  const ring = () => {
    if (entry.removing || !isOver(entry, ctx.now())) return armLifetime(ctx, entry, expire);
    vmLogger(ctx, entry).info("the VM's lifetime is over");
    expire(entry).catch((error: unknown) => {
      vmLogger(ctx, entry).error("a VM can't be ended at the end of its lifetime", {
        why: KilnError.from(error).message,
      });
    });
  };
  entry.lifetimeAlarm.at(Date.parse(entry.status.expiresAt), ctx.now, ring);
}
