// The user of each VM where kilnd is root, as this host's registry has it.

import { chmod, lchown, rm } from "node:fs/promises";
import { KilnError } from "../../base/errors.js";
import type { VmEntry } from "../vm/entry.js";
import { isLive } from "../vm/state.js";
import { type EngineContext, vmLogger } from "./context.js";

/** Tells the registry at kilnd's start which users this root's VMs have. */
export async function registerUsers(ctx: EngineContext): Promise<void> {
  const users = new Map<string, number>();
  for (const { record } of ctx.vms.list()) if (record.uid !== undefined) users.set(record.id, record.uid);
  try {
    await ctx.ownership.tidy(users);
  } catch (error) {
    ctx.log.warn("the registry of VMs' users can't be tidied", { why: KilnError.from(error).message });
  }
  for (const entry of ctx.vms.list()) {
    try {
      await settleUser(ctx, entry, isLive(entry.state));
    } catch (error) {
      // A start asks again, and fails where it must.
      vmLogger(ctx, entry).warn("the VM's user can't be registered", { why: KilnError.from(error).message });
    }
  }
}

/**
 * Sees to it that the VM's user is no other VM's, of any data root: else it gets a new one and its files with it.
 *
 * @param runs then it keeps its user until its next start
 */
export async function settleUser(ctx: EngineContext, entry: VmEntry, runs: boolean): Promise<void> {
  const { record } = entry;
  if (record.uid === undefined) return;
  const uid = await ctx.ownership.hold(record.id, record.uid);
  if (uid === record.uid) return;
  if (runs) {
    vmLogger(ctx, entry).warn("another kiln's VM has the same user; stop and start this one", {
      uid: record.uid,
    });
    return ctx.ownership.release(record.id, uid);
  }
  vmLogger(ctx, entry).warn("another kiln's VM has the same user, so this one gets a new one", {
    uid: record.uid,
    now: uid,
  });
  await reown(ctx, entry, uid);
  await entry.setRecord({ ...record, uid });
}

async function reown(ctx: EngineContext, entry: VmEntry, uid: number): Promise<void> {
  // What lies in the VMM's directory is of an earlier boot and may be the other's by now. First it is closed to that one.
  const state = ctx.store.vmmDirectory(entry.id);
  await lchown(state, 0, 0)
    .then(() => chmod(state, 0o700))
    .catch(ignoreMissing);
  await rm(state, { recursive: true, force: true });
  await ctx.ownership.give(ctx.store.cowPath(entry.id), uid);
}

function ignoreMissing(error: unknown): void {
  if (KilnError.from(error).reason !== "no-such-file") throw error;
}
