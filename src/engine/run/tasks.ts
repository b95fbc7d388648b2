// Work for VMs that nobody awaits, and writes that may fail.

import { KilnError } from "../../base/errors.js";
import type { VmEntry } from "../vm/entry.js";
import { type EngineContext, vmLogger } from "./context.js";

/** For tasks that nobody awaits: an error is the disk's (a status can't be written) or a bug. Say it, go on. */
export function inBackground(ctx: EngineContext, entry: VmEntry, task: () => Promise<void>): void {
  task().catch((error: unknown) => {
    vmLogger(ctx, entry).error("a task of the VM failed", { why: KilnError.from(error).message });
  });
}

/** What can't be written down (a full disk) must not keep a VM from ending. */
export async function written(ctx: EngineContext, entry: VmEntry, write: Promise<void>): Promise<void> {
  await write.catch((error: unknown) => {
    vmLogger(ctx, entry).error("the VM's state can't be written", { why: KilnError.from(error).message });
  });
}
