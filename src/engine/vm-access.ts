// Reaching the inside of a running VM: the checks every such verb needs, in one place.

import type { AgentSession } from "../agent/types.js";
import { Code, KilnError } from "../base/errors.js";
import type { LiveVm } from "./live-vm.js";
import type { VmEntry } from "./vm-entry.js";
import { requireState, type VmState } from "./vm-state.js";

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

/**
 * The agent's session of a running VM.
 *
 * @throws KilnError failed_precondition `vm-<state>`, unavailable `agent-unreachable`
 */
export function runningSession(entry: VmEntry, verb: string, signal?: AbortSignal): Promise<AgentSession> {
  return requireLive(entry, verb, ["running", "stopping"]).link.session({ signal });
}
