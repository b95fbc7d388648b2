// What the agent answers, as kiln's errors. The text is the guest's: hostile, so it is bounded and cleaned.

import { ConnectError } from "@connectrpc/connect";
import { Code, codeToString, KilnError } from "../base/errors.js";
import { cleanLine } from "./guest-text.js";

const MOST_MESSAGE = 1024;

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

/** A call that reached for the agent and failed there, or on its way. */
class AgentError extends KilnError {
  /** By the code on the wire: ours says failed_precondition of a way that broke, too. */
  readonly #refused: boolean;

  constructor(code: Code, message: string, cause: ConnectError) {
    super(code, message, { reason: `guest-${codeToString(code).replaceAll("_", "-")}`, cause });
    this.#refused = REFUSALS.has(cause.code);
  }

  get refused(): boolean {
    return this.#refused;
  }
}

/**
 * The one way from a failed call of the agent to a KilnError; its reason is "guest-" and the code: "guest-not-found",
 * "guest-failed-precondition". Whoever passes it on adds what was being attempted: `KilnError.from`.
 */
export function fromAgent(error: unknown): KilnError {
  if (!(error instanceof ConnectError)) return KilnError.from(error);
  // Refused on our own side of the channel.
  if (error.cause instanceof KilnError) return error.cause;
  const code = codeOf(error);
  if (code === Code.Cancelled) return new KilnError(code, "cancelled", { reason: "cancelled", cause: error });
  if (code === Code.DeadlineExceeded) {
    return new KilnError(code, "the guest's agent took too long", { reason: "timeout", cause: error });
  }
  return new AgentError(code, cleanLine(error.rawMessage.slice(0, MOST_MESSAGE)), error);
}

/** True of the failure of a call that reached for the agent; not where its time was over, or its caller had gone. */
export function isAgents(error: unknown): error is KilnError {
  return error instanceof AgentError;
}

/**
 * True where the agent has refused the call. A stream that broke says nothing about what became of the call: it may
 * have been taken ("Premature close" is Unknown or Internal), so that only a call that does no harm twice is asked again.
 */
export function isRefusal(error: unknown): error is KilnError {
  return error instanceof AgentError && error.refused;
}

/** True where the agent says that there is no such path, program or the like. */
export function isNotFound(error: unknown): boolean {
  return isRefusal(error) && error.code === Code.NotFound;
}

const KNOWN: ReadonlySet<number> = new Set(Object.values(Code));

/** "Internal" is kiln's own word for its bugs: a guest that fails, or that breaks HTTP/2, is none of them. */
function codeOf(error: ConnectError): Code {
  const code = error.code as number as Code;
  const theirs = code === Code.Internal || code === Code.Unknown || !KNOWN.has(code);
  return theirs ? Code.FailedPrecondition : code;
}
