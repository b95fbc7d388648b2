// When an ended VM comes back, and after how long: Docker's rules for `--restart`. Pure.

import type { RestartPolicy } from "./vm-config.js";

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 60_000;
/** A VM that ran this long has earned a fresh back-off. */
const STEADY_MS = 10_000;

export interface Ended {
  readonly policy: RestartPolicy;
  /** A failure of the VMM or the guest counts as a non-zero exit. */
  readonly exitCode: number;
  /** Restarts since the user last started it. */
  readonly restartCount: number;
  /** The user stopped or killed it. */
  readonly stoppedByUser: boolean;
  /** How long it had been running. */
  readonly ranMs: number;
  /** The back-off before this run; 0 where it was the first. */
  readonly previousDelayMs: number;
}

export type Verdict = { readonly restart: false } | { readonly restart: true; readonly delayMs: number };

/** What to do with a VM that has just ended. */
export function decideRestart(ended: Ended): Verdict {
  if (ended.stoppedByUser || !wanted(ended)) return { restart: false };
  return { restart: true, delayMs: nextDelay(ended.previousDelayMs, ended.ranMs) };
}

/** The back-off before the next run: doubles from 100 ms to one minute, anew after ten seconds of running. */
export function nextDelay(previousMs: number, ranMs: number): number {
  if (previousMs === 0 || ranMs >= STEADY_MS) return FIRST_DELAY_MS;
  return Math.min(previousMs * 2, LONGEST_DELAY_MS);
}

function wanted(ended: Ended): boolean {
  const { name, maximumRetryCount } = ended.policy;
  switch (name) {
    case "no":
      return false;
    case "always":
    case "unless-stopped":
      return true;
    case "on-failure":
      return ended.exitCode !== 0 && (maximumRetryCount === 0 || ended.restartCount < maximumRetryCount);
  }
}

/**
 * Whether a VM that is not running when kilnd starts is brought up: `always` even if the user had stopped it,
 * `unless-stopped` only if not. VMs that were never started stay as they are.
 */
export function startsWithDaemon(
  policy: RestartPolicy,
  everStarted: boolean,
  stoppedByUser: boolean,
): boolean {
  if (!everStarted) return false;
  return policy.name === "always" || (policy.name === "unless-stopped" && !stoppedByUser);
}
