// Notices guests that have ended without their VMM noticing: a `halt -f`, or on Firecracker a `poweroff -f`, stops the
// processors for ever and leaves the process. The agent's silence alone proves nothing (a paused or busy guest is
// silent too); silence and the kernel's own last words do.

import type { AgentSession } from "../../agent/types.js";
import { delay } from "../../base/runtime.js";
import type { VmmHandle } from "../../vmm/types.js";

export interface PulseOptions {
  readonly everyMs: number;
  /** How long one sign of life may take. */
  readonly patienceMs: number;
  readonly signal: AbortSignal;
}

/** True where the console ends with what the kernel says when it powers off or halts (kernel/reboot.c). Pure. */
export function saysGoodbye(consoleTail: string): boolean {
  return /reboot: (Power down|System halted)\s*$/.test(consoleTail);
}

/**
 * Resolves once the guest has halted; never for one that lives. Rejects when the signal aborts.
 *
 * @param session the agent's of this moment; undefined while there is none
 */
export async function guestHalted(
  handle: VmmHandle,
  session: () => AgentSession | undefined,
  options: PulseOptions,
): Promise<void> {
  for (;;) {
    await delay(options.everyMs, options.signal);
    if (await answers(session(), options.patienceMs)) continue;
    options.signal.throwIfAborted();
    if (saysGoodbye(await handle.consoleTail(CONSOLE_BYTES).catch(() => ""))) return;
  }
}

const CONSOLE_BYTES = 512;

async function answers(session: AgentSession | undefined, patienceMs: number): Promise<boolean> {
  if (session === undefined) return false;
  return session.ping(patienceMs).then(
    () => true,
    () => false,
  );
}
