// What a Firecracker that was started, or found again, is waited for: its socket, its word that the guest runs, its API's.

import { anySignal } from "../../base/abort.js";
import { Code, hasReason, KilnError } from "../../base/errors.js";
import type { Abortable } from "../../base/progress.js";
import { delay } from "../../base/runtime.js";
import { describeEnd, type ProcessEnd, type VmmProcess } from "../vmm-process.js";
import { explainEnd } from "./confined.js";
import type { FirecrackerHandle } from "./handle.js";

/** Firecracker itself needs 12 ms; a busy host makes it wait its turn. */
const START_TIMEOUT_MS = 15_000;
/** For one whose log says nothing of its start. */
const SILENT_START_MS = 3_000;
/** Until a Firecracker that answers must say that its guest runs. */
const RUNNING_TIMEOUT_MS = 15_000;
const ASK_AGAIN_MS = 5;

/** Returns once the API's socket takes connections. */
export async function untilListening(
  handle: FirecrackerHandle,
  vmm: VmmProcess,
  options: Abortable,
): Promise<void> {
  let end: ProcessEnd | undefined;
  void vmm.ended.then((how) => {
    end = how;
  });
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (let waitMs = 1; ; waitMs = Math.min(waitMs * 1.5, 20)) {
    try {
      return await handle.watch();
    } catch (error) {
      if (end !== undefined) throw await endedAtOnce(handle, end);
      // Something else has its name: no wait makes a socket of Firecracker's of it.
      if (hasReason(error, "not-as-expected") || Date.now() > deadline) throw error;
    }
    await delay(waitMs, options.signal);
  }
}

/**
 * Returns once Firecracker says that it has started its guest, or has ended. Nothing may be asked of its API before: a
 * call that waits while the start fails makes it panic instead of telling why.
 */
export async function untilStarted(
  handle: FirecrackerHandle,
  vmm: VmmProcess,
  options: Abortable,
): Promise<void> {
  const enough = new AbortController();
  const patience = delay(SILENT_START_MS, anySignal(enough.signal, options.signal));
  try {
    await Promise.race([handle.saysStarted, vmm.ended, patience]);
  } finally {
    patience.catch(() => undefined);
    enough.abort();
  }
}

/** Returns once the API answers that the guest runs (or is paused: a VM found again). */
export async function untilRunning(
  handle: FirecrackerHandle,
  vmm: VmmProcess,
  options: Abortable,
): Promise<void> {
  let end: ProcessEnd | undefined;
  void vmm.ended.then((how) => {
    end = how;
  });
  try {
    // It says of itself what it likes, so there is an end to asking.
    const until = performance.now() + RUNNING_TIMEOUT_MS;
    while ((await handle.state()) === "Not started") {
      if (performance.now() > until) throw neverRan();
      await delay(ASK_AGAIN_MS, options.signal);
    }
  } catch (error) {
    options.signal?.throwIfAborted();
    // A Firecracker that gives up closes its socket a moment before it ends.
    await Promise.race([vmm.ended, delay(500)]);
    if (end === undefined) throw error;
    throw await endedAtOnce(handle, end);
  }
}

export function neverRan(): KilnError {
  const seconds = RUNNING_TIMEOUT_MS / 1000;
  return new KilnError(Code.DeadlineExceeded, `Firecracker did not run its guest within ${seconds} s`, {
    reason: "vmm-unreachable",
    hint: "its log is the VM's vmm.log; try again",
  });
}

async function endedAtOnce(handle: FirecrackerHandle, end: ProcessEnd): Promise<KilnError> {
  const { detail } = await handle.exited;
  const known = explainEnd(end);
  if (known !== undefined) return known;
  return new KilnError(Code.FailedPrecondition, `Firecracker ended at once: ${detail || describeEnd(end)}`, {
    reason: "vmm-failed",
  });
}
