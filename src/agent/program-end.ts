// How a program of a guest ended: the guest's word, bounded and cleaned.

import { type ExitStatus, GuestRequest } from "../gen/kiln/agent/v1/common_pb.js";
import { boundedExitCode, boundedSignal } from "./guest-numbers.js";
import { cleanLine, explainNotStarted } from "./guest-text.js";

/** The end of a program. */
export interface ProgramEnd {
  /** The program's own, or 128 and the signal. */
  readonly code: number;
  /** 0: it ended by itself. */
  readonly signal: number;
  /** Why it could not be started; empty where it was. */
  readonly error: string;
  readonly oomKilled: boolean;
  /** What the guest asked for, where it asked. */
  readonly request: "none" | "poweroff" | "reboot";
  /** Of one beside the main program: it was killed because that had ended, and the guest with it. */
  readonly withMachine: boolean;
}

const MOST_ERROR = 4096;
const REQUESTS: ReadonlyMap<GuestRequest, ProgramEnd["request"]> = new Map([
  [GuestRequest.POWEROFF, "poweroff"],
  [GuestRequest.REBOOT, "reboot"],
]);

export function programEnd(status: ExitStatus): ProgramEnd {
  const { code, signal, error, oomKilled, request, withMachine } = status;
  return {
    code: boundedExitCode(code),
    signal: boundedSignal(signal),
    error: explainNotStarted(cleanLine(error.slice(0, MOST_ERROR))),
    oomKilled,
    request: REQUESTS.get(request) ?? "none",
    withMachine,
  };
}
