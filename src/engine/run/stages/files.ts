// The files that wait for the VM are written, while its root is there and its program is not.

import { Code, errnoOf, KilnError } from "../../../base/errors.js";
import type { Boot, Greeted, Step } from "../boot.js";
import { REFUSED, whileItLives } from "../boot-errors.js";
import { vmLogger } from "../context.js";
import { type PendingCopies, type PendingCopy, pendingCopies } from "../pending-copies.js";
import { unpackPending } from "../unpack-copy.js";

export async function files(boot: Boot, greeted: Greeted): Promise<Step> {
  const { ctx, run } = boot;
  const { session, machine } = greeted;
  const pending = pendingCopies(ctx, run.entry);
  const copies = await pending.list();
  const failed = (copy: PendingCopy, error: unknown) => giveUp(boot, greeted, pending, copy, error);
  await whileItLives(run, machine.live, () => unpackPending(session, pending, copies, run.signal, failed));
  if (copies.length > 0) {
    vmLogger(ctx, run.entry).info("what had waited is in", { archives: copies.length });
  }
  return { at: "workload", machine, session };
}

const LOOK_MS = 5_000;

/**
 * What a guest that is well has refused it will always refuse. Such a copy is dropped, or else the VM could never be
 * started again; after all other failures (the host's disk, the channel) it waits on.
 */
async function giveUp(
  { ctx, run: { entry, signal } }: Boot,
  { session }: Greeted,
  pending: PendingCopies,
  copy: PendingCopy,
  error: unknown,
): Promise<Error> {
  const known = KilnError.from(error, `copy to ${copy.record.directory} of VM ${entry.name}`);
  if (signal.aborted || known.code === Code.DeadlineExceeded || isHosts(error)) return known;
  const well = await session.machine.state({ timeoutMs: LOOK_MS, signal }).then(
    () => true,
    () => false,
  );
  if (!well) return known;
  await pending.remove([copy]);
  vmLogger(ctx, entry).warn("a copy that had waited is dropped", { why: known.message });
  return new KilnError(known.code, known.message, {
    reason: REFUSED,
    hint: "that copy is dropped: make it again as it should be, or start the VM without it",
    cause: known,
  });
}

/** Node's own failure is its cause: the code of one is a word, where the agent's and ours are numbers. */
function isHosts(error: unknown): boolean {
  for (let each = error; each instanceof Error; each = each.cause) {
    if (typeof errnoOf(each) === "string") return true;
  }
  return false;
}
