// Takes a VM away: by one rename, with it from memory, then its files. Called by `rm` and at the end of `--rm` VMs.

import { rm } from "node:fs/promises";
import { KilnError } from "../../base/errors.js";
import { failpoint } from "../../base/failpoint.js";
import { vmRunDirectory } from "../../base/paths.js";
import type { VmEntry } from "../vm/entry.js";
import { vmRef } from "../vm/uses.js";
import { emitVmEvent } from "../vm/vm-events.js";
import { type EngineContext, vmLogger } from "./context.js";
import { removeAnonymous } from "./create-mounts.js";
import { missedFollowers } from "./followers.js";

/** How long a client that still reads the output of a `--rm` VM may take to finish. */
const READERS_GRACE_MS = 10_000;

/**
 * The VM must not be live. Idempotent.
 *
 * @param volumes takes those along that were made for it and have no name, as is done of one that was to remove itself
 * @throws KilnError of the file system: the VM is there as it was, or it is gone and the rest of its files goes at the next
 *   start
 */
export async function removeEnded(ctx: EngineContext, entry: VmEntry, volumes = false): Promise<void> {
  if (entry.removing) return;
  entry.restartAlarm.clear();
  await entry.settled();
  await waitForReaders(ctx, entry);
  if (ctx.leaving.aborted) return; // the next kilnd's
  entry.removing = true;
  let gone = false;
  try {
    await ctx.store.remove(entry.id, () => {
      gone = true;
      ctx.vms.remove(entry);
    });
    failpoint("vm.removed");
    await rm(vmRunDirectory(ctx.runRoot, entry.id), { recursive: true, force: true });
    await ctx.ownership.release(entry.id, entry.record.uid);
  } catch (error) {
    throw KilnError.from(error, `remove VM ${entry.name}`);
  } finally {
    if (gone) tellGone(ctx, entry);
    else entry.removing = false;
  }
  const { config } = entry.record;
  if (volumes || config.autoRemove) await removeAnonymous(ctx, config.mounts);
}

function tellGone(ctx: EngineContext, entry: VmEntry): void {
  ctx.references.drop(vmRef(entry.id));
  entry.removed = true;
  entry.changed.notify();
  emitVmEvent(ctx, entry, "destroy");
}

async function waitForReaders(ctx: EngineContext, entry: VmEntry): Promise<void> {
  await missedFollowers(ctx, entry);
  try {
    await entry.log.drained(AbortSignal.timeout(READERS_GRACE_MS));
  } catch {
    vmLogger(ctx, entry).warn("a client that reads too slowly loses the end of the VM's output");
  }
}
