// What the agent answers, as the engine's errors. The text is the guest's: hostile, so it is bounded and cleaned.

import { ConnectError } from "@connectrpc/connect";
import { Code, codeToString, KilnError } from "../base/errors.js";
import { cleanLine } from "./guest-text.js";

const MOST_MESSAGE = 1024;

/**
 * The one way from a failed call of the agent to a KilnError.
 *
 * @param context what was being attempted: "exec in VM urn"
 * @param reason default: "guest-" and the code: "guest-not-found", "guest-failed-precondition"
 */
export function fromAgent(error: unknown, context: string, reason?: string): KilnError {
  if (!(error instanceof ConnectError)) return KilnError.from(error, context);
  // Refused on our own side of the channel.
  if (error.cause instanceof KilnError) return KilnError.from(error.cause, context);
  const code = codeOf(error);
  if (code === Code.Cancelled)
    return new KilnError(code, `${context}: cancelled`, { reason: "cancelled", cause: error });
  if (code === Code.DeadlineExceeded) {
    return new KilnError(code, `${context}: the guest's agent took too long`, {
      reason: "timeout",
      cause: error,
    });
  }
  return new KilnError(code, `${context}: ${cleanLine(error.rawMessage.slice(0, MOST_MESSAGE))}`, {
    reason: reason ?? `guest-${codeToString(code).replaceAll("_", "-")}`,
    cause: error,
  });
}

/** What an agent answers when it will not, however often it is asked. Every other failure may be the way's alone. */
const REFUSALS: ReadonlySet<number> = new Set([
  Code.InvalidArgument,
  Code.NotFound,
  Code.AlreadyExists,
  Code.PermissionDenied,
  Code.FailedPrecondition,
  Code.OutOfRange,
  Code.Unimplemented,
]);

/**
 * True where the agent has refused the call. A stream that broke says nothing about what became of the call: it may
 * have been taken ("Premature close" is Unknown or Internal), so that only a call that does no harm twice is asked again.
 */
export function isRefusal(error: unknown): boolean {
  if (!(error instanceof ConnectError) || error.cause instanceof KilnError) return false;
  return REFUSALS.has(error.code);
}

/** True where the agent says that there is no such path. */
export function isNotFound(error: unknown): boolean {
  return error instanceof ConnectError && error.code === Code.NotFound;
}

const KNOWN: ReadonlySet<number> = new Set(Object.values(Code));

/** "Internal" is kiln's own word for its bugs: a guest that fails, or that breaks HTTP/2, is none of them. */
function codeOf(error: ConnectError): Code {
  const code = error.code as number as Code;
  const theirs = code === Code.Internal || code === Code.Unknown || !KNOWN.has(code);
  return theirs ? Code.FailedPrecondition : code;
}
