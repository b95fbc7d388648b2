// Those who follow a VM to its end: foreground runs, attaches, `logs -f`. Of a VM that is removed when it ends they are
// counted on disk, so that a kilnd that is killed meanwhile leaves the next one knowing for whom to keep the end.

import { KilnError } from "../../base/errors.js";
import { until } from "../common/notifier.js";
import type { VmEntry } from "../vm/entry.js";
import { type EngineContext, vmLogger } from "./context.js";

/** Longer than any client tries to bring its kilnd back. */
const RETURN_MS = 90_000;
/** How long one who was told the end may take to say so by leaving. */
const FAREWELL_MS = 5_000;

/** Counts as a follower until released. */
export async function follow(ctx: EngineContext, entry: VmEntry): Promise<() => void> {
  const release = entry.log.hold();
  entry.followers.now++;
  // One of those whom the last kilnd had: nobody else can tell them apart, and nobody needs to.
  if (entry.followers.missed > 0) entry.followers.missed--;
  await note(ctx, entry);
  entry.changed.notify();
  let followed = true;
  return () => {
    if (!followed) return;
    followed = false;
    release();
    entry.followers.now--;
    // A kilnd that goes cuts its clients off: they have not left.
    if (!ctx.leaving.aborted) void note(ctx, entry);
  };
}

async function note(ctx: EngineContext, entry: VmEntry): Promise<void> {
  if (!entry.record.config.autoRemove || entry.removing) return;
  const { now, missed } = entry.followers;
  await entry.note({ followers: now + missed }).catch((error: unknown) => {
    vmLogger(ctx, entry).debug("followers can't be noted", { why: KilnError.from(error).message });
  });
}

/** Waits a while for those to come back whom the last kilnd had. */
export async function missedFollowers(ctx: EngineContext, entry: VmEntry): Promise<void> {
  const patience = AbortSignal.any([AbortSignal.timeout(RETURN_MS), ctx.leaving]);
  await until(entry.changed, () => (entry.followers.missed === 0 ? true : undefined), patience).catch(
    () => undefined,
  );
}

/** Waits until a client that was told the end has left: from then on nobody will ask for it again. */
export async function farewell(signal: AbortSignal | undefined, said: Promise<unknown>): Promise<void> {
  if (signal === undefined || signal.aborted) return;
  await new Promise<void>((resolve) => {
    const leave = () => {
      clearTimeout(late);
      signal.removeEventListener("abort", leave);
      resolve();
    };
    const late = setTimeout(leave, FAREWELL_MS);
    signal.addEventListener("abort", leave, { once: true });
    void said.then(leave);
  });
}
