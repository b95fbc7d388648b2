// Reaching the inside of a running VM: the checks every such verb needs, in one place.

import type { AgentSession } from "../agent/types.js";
import { Code, KilnError } from "../base/errors.js";
import type { LiveVm } from "./live-vm.js";
import { until } from "./notifier.js";
import type { VmEntry } from "./vm-entry.js";
import { isLive, requireState, type VmState } from "./vm-state.js";

/**
 * What runs of a VM that must be in one of these states.
 *
 * @throws KilnError failed_precondition `vm-<state>`
 */
export function requireLive(entry: VmEntry, verb: string, states: readonly VmState[]): LiveVm {
  requireState(verb, entry.name, entry.state, states);
  if (entry.live !== undefined) return entry.live;
  // Between the end of one boot and the next: a reboot that the guest asked for.
  throw new KilnError(Code.FailedPrecondition, `cannot ${verb} VM ${entry.name}: it is restarting`, {
    reason: "vm-starting",
  });
}

/** How long a VM may be without its live side while it is taken over by a new kilnd or reboots. */
const TAKEOVER_MS = 10_000;

/**
 * The agent's session of a running VM; waits while a new kilnd takes the VM over.
 *
 * @throws KilnError failed_precondition `vm-<state>`, unavailable `agent-unreachable`
 */
export async function runningSession(
  entry: VmEntry,
  verb: string,
  signal?: AbortSignal,
): Promise<AgentSession> {
  const states: readonly VmState[] = ["running", "stopping"];
  requireState(verb, entry.name, entry.state, states);
  await waitForLive(entry, signal);
  return requireLive(entry, verb, states).link.session({ signal });
}

/** Waits a while for a VM whose state is live to be ours. */
export async function waitForLive(entry: VmEntry, signal: AbortSignal | undefined): Promise<void> {
  if (entry.live !== undefined || !isLive(entry.state)) return;
  const timeout = AbortSignal.timeout(TAKEOVER_MS);
  const settled = () => (entry.live !== undefined || !isLive(entry.state) ? true : undefined);
  const either = signal === undefined ? timeout : AbortSignal.any([timeout, signal]);
  await until(entry.changed, settled, either).catch(() => signal?.throwIfAborted());
}
