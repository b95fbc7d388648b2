// The error of an exec that another program carried: agent/front, which reads answers but has no words for them.

import { Code, KilnError } from "../base/errors.js";
import { connectionLost, errorFromRefusal, errorFromWire } from "./wire-error.js";

const METHOD = "VmService/Exec";

/**
 * @param status HTTP's; 0 where the connection was lost
 * @param body for 200 the call's end-of-stream message, else what came with the refusal
 */
export function execFailure(status: number, body: string): KilnError {
  if (status === 0) return connectionLost(METHOD);
  if (status !== 200) return errorFromRefusal(status, METHOD, body);
  try {
    const { error } = JSON.parse(body) as { error?: unknown };
    return error === undefined ? noExitCode() : errorFromWire(error);
  } catch (cause) {
    return connectionLost(METHOD, cause);
  }
}

/** The error of a call that ended well, as far as Connect goes, with its last message missing. */
export function noExitCode(): KilnError {
  return new KilnError(Code.Unavailable, "kilnd ended the call without the program's exit code", {
    reason: "no-exit-code",
  });
}
