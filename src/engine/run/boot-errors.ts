// Why a boot fails: whoever waits for one is told what the console said last. And how long each of its calls may take.

import { isAgents, isRefusal } from "../../agent/index.js";
import { orAborted } from "../../base/abort.js";
import { Code, KilnError } from "../../base/errors.js";
import type { VmmHandle } from "../../vmm/types.js";
import { withConsole } from "../vm/end.js";
import type { VmEntry } from "../vm/entry.js";
import type { EngineContext } from "./context.js";
import type { LiveVm } from "./live-vm.js";

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

/** Of a mount, whose error is ENOTDIR or EISDIR. */
const OTHER_KIND =
  "a directory can't be mounted on a file, nor a file on a directory: is the source what you meant, and what has the image there?";

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

/** An init of the image's own is waited for, in the guest: what comes next may want to talk to it. */
export function patience(
  ctx: EngineContext,
  entry: VmEntry,
  live: LiveVm,
): { initPatienceMs: number; timeoutMs: number } {
  const setUpMs = ctx.settings.helloTimeoutMs[live.handle.record.capabilities.accelerator];
  const initPatienceMs = entry.record.program.mode === "system" ? setUpMs : 0;
  return { initPatienceMs, timeoutMs: setUpMs + initPatienceMs };
}

/** The reason of a copy that the guest will never take. */
export const REFUSED = "copy-refused";

/**
 * What a step with the guest's agent comes to, or the VMM's end.
 *
 * @throws KilnError `vmm-died`, `guest-setup-failed`, `no-hello`, REFUSED; the signal's reason
 */
export async function whileItLives<T>(
  { signal }: { readonly signal: AbortSignal },
  live: LiveVm,
  step: () => Promise<T>,
): Promise<T> {
  const died = live.handle.exited.then(({ detail }) => Promise.reject(vmmDied(detail)));
  died.catch(() => undefined);
  try {
    return await orAborted(Promise.race([step(), died]), signal);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof KilnError && error.reason === REFUSED) throw error;
    const failed = setupFailed(error);
    throw saysAll(error) ? failed : await explain(live.handle, failed);
  }
}

/**
 * The agent's own words, with the kernel's of a mount: what the console said last is of something else by then. A channel
 * that broke has none.
 */
function saysAll(error: unknown): boolean {
  return isRefusal(error) || (isAgents(error) && /^mount \//.test(error.message));
}

/** What the agent itself fails with has a reason of the boot's own; its time and its session keep theirs. */
function setupFailed(error: unknown): KilnError {
  const { code, message, reason, hint } = KilnError.from(error, "set the guest up");
  const why = isAgents(error) ? "guest-setup-failed" : reason;
  const kinds = /: mount \/.*: (not|is) a directory$/.test(message) ? OTHER_KIND : undefined;
  return new KilnError(code, message, { reason: why, hint: hint ?? kinds, cause: error });
}

/** The error of a start whose program could not be executed; `exitCode` is 126 or 127. */
export function programNotStarted(entry: VmEntry): KilnError {
  const { message, exitCode } = entry.status;
  return new KilnError(
    Code.FailedPrecondition,
    `start VM ${entry.name}: ${message || "the program did not start"}`,
    {
      reason: "program-not-started",
      details: { exitCode: String(exitCode) },
    },
  );
}
