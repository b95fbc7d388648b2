// Exit codes: of the program where one ran, else of what kind of failure it was.

import { hasReason, KilnError } from "../base/errors.js";
import { isUsageError } from "./usage-error.js";

/** kiln itself failed, in a verb whose exit code is otherwise the program's. */
export const KILN_FAILED = 125;
/** The program is there but cannot be executed. */
export const NOT_EXECUTABLE = 126;
/** There is no such program. */
export const NOT_FOUND = 127;
/** @param failureCode of the verb: 1 for most, 125 for run and exec */
export function exitCodeOf(error: unknown, failureCode: number): number {
  if (hasReason(error, "interrupted")) return Number((error as KilnError).details.exitCode ?? 130);
  if (failureCode === KILN_FAILED) return programFailure(error) ?? KILN_FAILED;
  return isUsageError(error) ? 2 : failureCode;
}

/** 126 or 127 where kilnd says that the program could not be started. */
function programFailure(error: unknown): number | undefined {
  if (!(error instanceof KilnError)) return undefined;
  const code = Number(error.details.exitCode);
  if (code === NOT_EXECUTABLE || code === NOT_FOUND) return code;
  if (error.reason === "program-not-found") return NOT_FOUND;
  if (error.reason === "program-not-executable") return NOT_EXECUTABLE;
  return undefined;
}
