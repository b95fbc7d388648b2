// From the gRPC errors of the agent to KilnErrors. Texts of a guest are hostile: cut, and without control characters.

import { Code as ConnectCode, ConnectError } from "@connectrpc/connect";
import { Code, codeToString, isAbortError, KilnError } from "../base/errors.js";

const MAX_TEXT = 1000;

/**
 * The KilnError of anything that a call to the agent threw.
 *
 * Reasons: `agent-gone` where the session ended, `cancelled`, `timeout`, else `guest-` and the code's name
 * (`guest-not-found`, `guest-failed-precondition`, ...): the guest said so.
 *
 * @param what was being attempted: "read /etc/passwd in vm1"
 */
export function toKilnError(error: unknown, what: string): KilnError {
  if (error instanceof KilnError || isAbortError(error)) return KilnError.from(error, what);
  if (!(error instanceof ConnectError)) return KilnError.from(error, what);
  // What the caller's own AbortSignal threw, or the session's end: connect wraps both.
  if (error.cause instanceof KilnError || isAbortError(error.cause)) return KilnError.from(error.cause, what);
  const code = error.code as number as Code;
  return new KilnError(code, `${what}: ${printable(error.rawMessage)}`, {
    reason: reasonOf(error),
    cause: error,
  });
}

function reasonOf(error: ConnectError): string {
  switch (error.code) {
    case ConnectCode.Canceled:
      return "cancelled";
    case ConnectCode.DeadlineExceeded:
      return "timeout";
    default:
      return `guest-${codeToString(error.code as number as Code).replaceAll("_", "-")}`;
  }
}

/** A guest's text as one line for a log or a terminal. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  const line = text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, " ").trim();
  return line.length <= MAX_TEXT ? line : `${line.slice(0, MAX_TEXT)}...`;
}

/** The session has ended: nothing more can be asked on it. */
export function agentGone(reason: string): KilnError {
  return new KilnError(Code.Unavailable, `the session with the agent has ended: ${reason}`, {
    reason: "agent-gone",
  });
}

/** Runs one call to the agent; what it throws becomes a KilnError that says what was attempted. */
export async function guestCall<T>(what: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw toKilnError(error, what);
  }
}
