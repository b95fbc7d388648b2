// A guest's clock stands still with its machine: while it is paused, while it waits for room on the host's disk, and
// kilnd may be another one when it goes on. So each session begins with a look at it. It is moved by the difference,
// not set to a time: how long that takes to arrive does not matter.

import type { AgentSession } from "../../agent/types.js";

export interface ClockReading {
  /** The host's time when the guest was asked for its own, and when the answer was here; milliseconds. */
  readonly askedMs: number;
  readonly heardMs: number;
  /** The guest's, nanoseconds. */
  readonly guestNs: bigint;
}

/** What is left alone: drift of a guest that keeps its time by itself. */
const TOLERANCE_MS = 500;
/** A guest that answers slowly is asked again: its answer says little about its clock. */
const TRIES = 3;
const CALL_MS = 15_000;
const NS = 1_000_000n;

/** By how much to move the clock, nanoseconds; undefined where it may be right. Pure. */
export function planStep({ askedMs, heardMs, guestNs }: ClockReading): bigint | undefined {
  const doubtMs = Math.ceil((heardMs - askedMs) / 2);
  const off = BigInt(Math.round(askedMs + doubtMs)) * NS - guestNs;
  const distance = off < 0n ? -off : off;
  return distance > BigInt(TOLERANCE_MS + doubtMs) * NS ? off : undefined;
}

/** Sets the guest's clock right, where it is not. @returns by how much it was moved, nanoseconds */
export async function setGuestClock(session: AgentSession, now: () => number): Promise<bigint> {
  let moved = 0n;
  for (let tries = 0; tries < TRIES; tries++) {
    const askedMs = now();
    const guestNs = await session.machine.clock({ timeoutMs: CALL_MS });
    const step = guestNs === undefined ? undefined : planStep({ askedMs, heardMs: now(), guestNs });
    // An agent of an older kiln tells no time.
    if (step === undefined) return moved;
    await session.machine.stepClock(step, { timeoutMs: CALL_MS });
    moved += step;
  }
  return moved;
}
