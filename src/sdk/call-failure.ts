// The error of a call that another program made: agent/front, which reads answers but has no words for them.

import { Code, KilnError } from "../base/errors.js";
import { connectionLost, errorFromRefusal, errorFromWire } from "./wire-error.js";

/**
 * @param method "VmService/Exec" and the like
 * @param status HTTP's; 0 where the connection was lost
 * @param body for 200 the call's end-of-stream message, else what came with the refusal
 */
export function callFailure(method: string, status: number, body: string): KilnError {
  if (status === 0) return connectionLost(method);
  if (status !== 200) return errorFromRefusal(status, method, body);
  try {
    const { error } = JSON.parse(body) as { error?: unknown };
    if (error !== undefined) return errorFromWire(error);
    return method === "VmService/CreateVm" ? noVm("create a VM") : noExitCode();
  } catch (cause) {
    return connectionLost(method, cause);
  }
}

/** The error of a create that ended well, as far as Connect goes, with no VM. */
export function noVm(what: string): KilnError {
  return new KilnError(Code.Internal, `${what}: kilnd ended the call without one`, {
    reason: "unexpected-answer",
  });
}

/** The error of a call that ended well, as far as Connect goes, with its last message missing. */
export function noExitCode(): KilnError {
  return new KilnError(Code.Unavailable, "kilnd ended the call without the program's exit code", {
    reason: "no-exit-code",
  });
}
