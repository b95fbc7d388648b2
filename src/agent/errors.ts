// What this room itself reports. Errors of the guest's own stay ConnectErrors: the engine knows what was attempted.

import { Code, KilnError } from "../base/errors.js";

/** The session has ended: nothing more can be asked on it. */
export function agentGone(reason: string): KilnError {
  return new KilnError(Code.Unavailable, `the session with the agent has ended: ${reason}`, {
    reason: "agent-gone",
  });
}
