// Why a Firecracker process ended. It exits 0 for one thing only: the guest asked for a reset (reboot, or a panic with
// panic=-1); a guest that powers off leaves it running.

import { constants } from "node:os";
import { defined } from "../../base/defined.js";
import type { VmmExit } from "../types.js";
import { describeEnd, type ProcessEnd, SIGNAL_BASE } from "../vmm-process.js";

export interface ExitEvidence {
  readonly end: ProcessEnd;
  readonly killed: boolean;
  /** Its log said so. */
  readonly endedCleanly: boolean;
  /** Its log was being read. */
  readonly watched: boolean;
  readonly words: string;
}

/** FcExitCode of Firecracker's vmm crate. */
const EXIT_CODES: Readonly<Record<number, string>> = {
  1: "an error",
  2: "an unexpected error",
  148: "its seccomp filter refused a system call",
  149: "SIGBUS: the host is out of memory or disk",
  150: "SIGSEGV",
  151: "SIGXFSZ: a file grew past its limit",
  152: "a bad configuration",
  153: "bad arguments",
  154: "SIGXCPU",
  155: "SIGPIPE",
  156: "SIGHUP",
  157: "SIGILL",
};

/** A jail's monitor tells signals as codes above 128, where Firecracker, which ends by none of those, has codes of its own. */
function asOwnCode(end: ProcessEnd): ProcessEnd {
  if (end.signal === undefined) return end;
  const code = SIGNAL_BASE + constants.signals[end.signal];
  return EXIT_CODES[code] === undefined ? end : defined({ note: end.note, code });
}

export function judgeExit(evidence: ExitEvidence): VmmExit {
  if (evidence.end.code === 0 || evidence.endedCleanly) {
    return { cause: "guest-reset", detail: "the guest rebooted" };
  }
  if (evidence.killed) return { cause: "killed", detail: "ended by kiln" };
  const end = asOwnCode(evidence.end);
  const words = [describeEnd(end), EXIT_CODES[end.code ?? 0], evidence.words];
  const detail = words.filter((word) => word !== undefined && word !== "").join("; ");
  return evidence.watched ? { cause: "crashed", detail } : { cause: "unknown", detail };
}
