// The agent's Boot, and where files wait for the VM the hold within it: they are written when the root is there and the
// program is not. Also why a boot fails: whoever waits for one is told what the console said last.

import type { AgentSession } from "../../agent/types.js";
import { orAborted } from "../../base/abort.js";
import { Code, errnoOf, KilnError } from "../../base/errors.js";
import type { BootResponse } from "../../gen/kiln/agent/v1/machine_pb.js";
import type { VmmHandle } from "../../vmm/types.js";
import { fromAgent } from "../common/agent-errors.js";
import { type BootFacts, planBoot } from "../vm/boot-plan.js";
import { withConsole } from "../vm/end.js";
import type { VmEntry } from "../vm/entry.js";
import { type EngineContext, vmLogger } from "./context.js";
import type { LiveVm } from "./live-vm.js";
import { type PendingCopies, type PendingCopy, pendingCopies } from "./pending-copies.js";
import { unpackPending } from "./unpack-copy.js";

export function hung(why: string): KilnError {
  return new KilnError(Code.DeadlineExceeded, `the guest's agent did not say hello: ${why}`, {
    reason: "no-hello",
  });
}

/** By reason. */
const HINTS: Readonly<Record<string, string>> = {
  "no-hello": "is the kernel one that kiln can boot? `kiln logs --console` shows what a VM without --rm said",
  "channel-garbage": "something else than kiln's agent runs in the guest: see kilnd's setting `agent`",
};

export function vmmDied(detail: string): KilnError {
  return new KilnError(Code.Unavailable, `the VMM ended while the guest booted: ${detail}`, {
    reason: "vmm-died",
  });
}

/** The error with the console's last lines; a lost session while booting is a hang too. */
export async function explain(handle: VmmHandle, error: KilnError): Promise<KilnError> {
  const tail = await handle.consoleTail().catch(() => "");
  const reason = error.reason === "timeout" ? "no-hello" : error.reason;
  return new KilnError(error.code, withConsole(error.message, tail), {
    reason,
    hint: error.hint ?? HINTS[reason],
    cause: error,
  });
}

/** What a boot is done with. */
export interface BootParts {
  readonly entry: VmEntry;
  readonly live: LiveVm;
  readonly session: AgentSession;
  readonly signal: AbortSignal;
}

/** Where the answer's pid is 0, the program could not be started. */
export async function callBoot(
  ctx: EngineContext,
  parts: BootParts,
  facts: Omit<BootFacts, "serials" | "initPatienceMs" | "hold">,
): Promise<BootResponse> {
  const { entry, live, session, signal } = parts;
  const hold = (await pendingCopies(ctx, entry).list()).length > 0;
  const { initPatienceMs, timeoutMs } = patience(ctx, parts);
  const request = planBoot({ ...facts, serials: live.handle.disks, initPatienceMs, hold });
  const answer = await whileItLives(parts, () => session.client.boot(request, { timeoutMs, signal }));
  if (!hold) return answer;
  if (answer.held) return goOn(ctx, parts);
  throw new KilnError(Code.FailedPrecondition, "the guest's agent starts no VM that files wait for", {
    reason: "agent-too-old",
    hint: "it is older than kilnd: see kilnd's setting `agent`",
  });
}

/** The rest of a boot that holds: what waits is written, and the program started. */
export async function goOn(ctx: EngineContext, parts: BootParts): Promise<BootResponse> {
  const { entry, session, signal } = parts;
  const pending = pendingCopies(ctx, entry);
  const copies = await pending.list();
  const failed = (copy: PendingCopy, error: unknown) => giveUp(ctx, parts, pending, copy, error);
  await whileItLives(parts, () => unpackPending(session, pending, copies, signal, failed));
  if (copies.length > 0) vmLogger(ctx, entry).info("what had waited is in", { archives: copies.length });
  const { timeoutMs } = patience(ctx, parts);
  return whileItLives(parts, () => session.client.startProgram({}, { timeoutMs, signal }));
}

/** An init of the image's own is waited for, in the guest: what comes next may want to talk to it. */
function patience(ctx: EngineContext, { entry, live }: BootParts) {
  const setUpMs = ctx.settings.helloTimeoutMs[live.handle.record.capabilities.accelerator];
  const initPatienceMs = entry.record.program.mode === "system" ? setUpMs : 0;
  return { initPatienceMs, timeoutMs: setUpMs + initPatienceMs };
}

async function whileItLives<T>({ live, signal }: BootParts, step: () => Promise<T>): Promise<T> {
  const died = live.handle.exited.then(({ detail }) => Promise.reject(vmmDied(detail)));
  died.catch(() => undefined);
  try {
    return await orAborted(Promise.race([step(), died]), signal);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof KilnError && error.reason === REFUSED) throw error;
    throw await explain(live.handle, fromAgent(error, "set the guest up", "guest-setup-failed"));
  }
}

const REFUSED = "copy-refused";
const LOOK_MS = 5_000;

/**
 * What a guest that is well has refused it will always refuse. Such a copy is dropped, or else the VM could never be
 * started again; after all other failures (the host's disk, the channel) it waits on.
 */
async function giveUp(
  ctx: EngineContext,
  { entry, session, signal }: BootParts,
  pending: PendingCopies,
  copy: PendingCopy,
  error: unknown,
): Promise<Error> {
  const known = fromAgent(error, `copy to ${copy.record.directory} of VM ${entry.name}`);
  const ours = isSystemError(error) || (error instanceof Error && isSystemError(error.cause));
  if (signal.aborted || known.code === Code.DeadlineExceeded || ours) return known;
  const well = await session.client.state({}, { timeoutMs: LOOK_MS, signal }).then(
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

/** Of Node: its code is a word. The agent's and our own are numbers. */
function isSystemError(error: unknown): boolean {
  return typeof errnoOf(error) === "string";
}
