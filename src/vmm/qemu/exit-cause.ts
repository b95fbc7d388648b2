// Why a QEMU process ended, from what QMP said and how the process went. QEMU's exit code says nothing (0 for
// poweroff, reboot and panic alike).

import type { VmmExit } from "../types.js";
import { describeEnd, type ProcessEnd } from "../vmm-process.js";

export interface ExitEvidence {
  /** `reason` of the SHUTDOWN event (RunState's ShutdownCause), where one came. */
  readonly shutdownReason: string | undefined;
  readonly panicked: boolean;
  /** We asked for the end. */
  readonly killed: boolean;
  /** QMP ended with QEMU, so that a missing SHUTDOWN event means that there was none. */
  readonly watched: boolean;
  readonly end: ProcessEnd;
  readonly stderr: string;
}

/** What the guest did counts for more than what we asked for: both may happen at once. */
export function judgeExit(evidence: ExitEvidence): VmmExit {
  if (evidence.panicked) return { cause: "guest-panic", detail: "the guest's kernel panicked" };
  switch (evidence.shutdownReason) {
    case "guest-shutdown":
      return { cause: "guest-shutdown", detail: "the guest powered off" };
    case "guest-reset":
      return { cause: "guest-reset", detail: "the guest rebooted" };
    case "guest-panic":
      return { cause: "guest-panic", detail: "the guest's kernel panicked" };
    default:
  }
  if (evidence.killed) return { cause: "killed", detail: "ended by kiln" };
  const words = [describeEnd(evidence.end), evidence.shutdownReason, evidence.stderr];
  const detail = words.filter((word) => word !== undefined && word !== "").join("; ");
  return evidence.watched ? { cause: "crashed", detail } : { cause: "unknown", detail };
}
