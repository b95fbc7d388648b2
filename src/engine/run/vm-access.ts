// Reaching the inside of a running VM: the checks every such verb needs, in one place.

import type { AgentSession } from "../../agent/types.js";
import { Code, KilnError } from "../../base/errors.js";
import { until } from "../common/notifier.js";
import type { VmEntry } from "../vm/entry.js";
import type { LiveView } from "../vm/run-view.js";
import { isLive, requireState, type VmState } from "../vm/state.js";

/**
 * What runs of a VM that must be in one of these states.
 *
 * @throws KilnError failed_precondition `vm-<state>`
 */
export function requireLive(entry: VmEntry, verb: string, states: readonly VmState[]): LiveView {
  requireState(verb, entry.name, entry.state, states);
  if (entry.live !== undefined) return entry.live;
  // Between the end of one boot and the next: a reboot that the guest asked for.
  throw new KilnError(Code.FailedPrecondition, `cannot ${verb} VM ${entry.name}: it is restarting`, {
    reason: "vm-starting",
  });
}

/** The reason of a VM that its host's full disk has stopped. */
const DISK_FULL = "host-disk-full";

/** Why the VM stands still through nobody's wish; undefined where it does not. */
export function stallOf(entry: VmEntry): { reason: string; message: string } | undefined {
  const { state, reason } = entry.status;
  if (state !== "paused" || reason !== DISK_FULL) return undefined;
  return { reason, message: `the host's disk is full; VM ${entry.name} waits until there is room` };
}

function requireMoving(entry: VmEntry, verb: string): void {
  const stall = stallOf(entry);
  if (stall === undefined) return;
  throw new KilnError(
    Code.FailedPrecondition,
    `cannot ${verb} VM ${entry.name}: it stands still, because the host's disk is full`,
    {
      reason: "vm-stalled",
      hint: "free some of it, with `kiln system prune` for example: the VM then goes on by itself",
      details: { state: entry.state, why: stall.reason },
    },
  );
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
  requireMoving(entry, verb);
  requireState(verb, entry.name, entry.state, states);
  await waitForLive(entry, signal);
  requireWatched(entry, verb);
  try {
    return await requireLive(entry, verb, states).link.session({ signal });
  } catch (error) {
    throw spokenTo(entry) || signal?.aborted === true ? error : unspeakable(entry, verb, error);
  }
}

function spokenTo({ status, live }: VmEntry): boolean {
  return status.reason !== "vmm-unreachable" || live === undefined;
}

/** Its VMM lives and was not reached since kilnd came up: its sockets may be gone. */
function unspeakable(entry: VmEntry, verb: string, cause: unknown): KilnError {
  return new KilnError(Code.Unavailable, `cannot ${verb} VM ${entry.name}: ${entry.status.message}`, {
    reason: "agent-unreachable",
    hint: `kilnd goes on trying; \`kiln restart ${entry.name}\` starts the VM anew`,
    cause,
  });
}

/** Waits a while for a VM whose state is live to be ours. */
export async function waitForLive(entry: VmEntry, signal: AbortSignal | undefined): Promise<void> {
  if (entry.live !== undefined || !isLive(entry.state)) return;
  const timeout = AbortSignal.timeout(TAKEOVER_MS);
  const settled = () => (entry.live !== undefined || !isLive(entry.state) ? true : undefined);
  const either = signal === undefined ? timeout : AbortSignal.any([timeout, signal]);
  await until(entry.changed, settled, either).catch(() => signal?.throwIfAborted());
}

/** How long a takeover may take of a VMM that answers late. */
const LONG_TAKEOVER_MS = 60_000;

/** Waits until a VM whose state is live is ours, starts again or has ended; for a bounded time. */
export async function waitForTakeover(entry: VmEntry): Promise<void> {
  const settled = () => (hasOwner(entry) ? true : undefined);
  await until(entry.changed, settled, AbortSignal.timeout(LONG_TAKEOVER_MS)).catch(() => undefined);
}

/**
 * Refuses to end what nobody watches: to call it ended, or to remove its files, would be wrong while its VMM may run.
 *
 * @throws KilnError unavailable `vmm-unreachable`
 */
export function requireWatched(entry: VmEntry, verb: string): void {
  if (hasOwner(entry)) return;
  throw new KilnError(Code.Unavailable, `cannot ${verb} VM ${entry.name}: kilnd has not taken it over`, {
    reason: "vmm-unreachable",
    hint: "try again; if that does not help, kilnd's log says why, and a restart of kilnd tries once more",
  });
}

function hasOwner({ state, run }: VmEntry): boolean {
  return !isLive(state) || (run !== undefined && run.stage !== "reach");
}
