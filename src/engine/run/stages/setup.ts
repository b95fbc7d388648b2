// The agent's Boot: the guest gets its root, and where no files wait for it starts its program at once.

import { randomBytes } from "node:crypto";
import type { GuestMount } from "../../../agent/index.js";
import { Code, KilnError } from "../../../base/errors.js";
import type { PlannedSet } from "../../attach/set.js";
import { planBoot } from "../../vm/boot-plan.js";
import type { Boot, Greeted, Machine, Step } from "../boot.js";
import { patience, whileItLives } from "../boot-errors.js";
import { vmLogger } from "../context.js";
import { growMounts as growHeld } from "../grow-mounts.js";
import { requireFindable } from "../guest-disks.js";
import { namesFor } from "../name-keeper.js";
import { pendingCopies } from "../pending-copies.js";
import { written } from "../tasks.js";
import { upWith } from "./workload.js";

export async function setup(boot: Boot, { machine, session }: Greeted): Promise<Step> {
  const { ctx, run } = boot;
  const hold = (await pendingCopies(ctx, run.entry).list()).length > 0;
  const { disks } = machine.planned ?? (await planOfFound(boot, machine));
  const { attached, handle } = machine.live;
  const { capabilities } = handle.record;
  const { initPatienceMs, timeoutMs: upMs } = patience(ctx, run.entry, machine.live);
  const now = { nowMs: ctx.now(), entropy: randomBytes(64) };
  const request = planBoot({
    ...{ record: run.entry.record, capabilities, ...now, initPatienceMs, hold },
    names: namesFor(ctx, run.entry),
    attached: attached.guest({ capabilities, disks, serials: handle.disks }),
  });
  const timeoutMs = upMs + (request.mounts?.some(isFilled) === true ? FILL_MS : 0);
  const call = { timeoutMs, signal: run.signal };
  const answer = await whileItLives(run, machine.live, async () => {
    await requireFindable(session, disks, call);
    return session.machine.boot(request, call);
  });
  await noteFilled(boot, machine, answer.filled);
  await growMounts(boot, { machine, session });
  if (!hold) return upWith({ machine, session }, answer);
  if (answer.held) return { at: "files", machine, session };
  throw new KilnError(Code.FailedPrecondition, "the guest's agent starts no VM that files wait for", {
    reason: "agent-too-old",
    hint: "it is older than kilnd: see kilnd's setting `agent`",
  });
}

/** Where it can't be written, the next boot asks again: files that are there already are left as they are. */
async function noteFilled({ ctx, run }: Boot, { live }: Machine, ids: readonly string[]): Promise<void> {
  for (const { mount } of live.attached.held) {
    if (mount?.filled !== undefined && ids.includes(mount.id)) await written(ctx, run.entry, mount.filled());
  }
}

/** What an image has at a target may be gigabytes, and is copied before the program starts. */
const FILL_MS = 600_000;
const isFilled = ({ source }: GuestMount) => source.kind === "disk" && source.fill === true;

/** Volumes whose disks have grown while nobody wrote to them. */
async function growMounts({ ctx, run }: Boot, { machine, session }: Greeted): Promise<void> {
  const { held } = machine.live.attached;
  const log = vmLogger(ctx, run.entry);
  await growHeld({ held, session: async () => session, log, signal: run.signal });
}

async function planOfFound({ ctx, run }: Boot, { live }: Machine): Promise<PlannedSet> {
  const { modules } = await ctx.kernels.prepare(run.entry.record.kernelId);
  const { capabilities } = live.handle.record;
  return live.attached.plan({ capabilities, modules });
}
