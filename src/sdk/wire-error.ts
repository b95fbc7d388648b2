// Connect's errors (https://connectrpc.com/docs/protocol/#error-end-stream) back to the KilnError they were at kilnd.

import { Code, codeFromString, codeToString, KilnError } from "../base/errors.js";
import { daemonSilent, Silence } from "./daemon-pulse.js";
import { decodeErrorInfo, type ErrorInfo } from "./error-info.js";

const ERROR_INFO = "kiln.v1.ErrorInfo";

/** What Connect puts into JSON for an error. Everything is optional: the peer may be anything. */
interface WireError {
  code?: unknown;
  message?: unknown;
  details?: unknown;
}

/** @param value the parsed `error` member of an end-of-stream message, or the body of a failed unary call */
export function errorFromWire(value: unknown): KilnError {
  const wire: WireError = typeof value === "object" && value !== null ? value : {};
  const code = codeOf(wire.code);
  const message = typeof wire.message === "string" && wire.message !== "" ? wire.message : "the call failed";
  const info = findErrorInfo(wire.details);
  return new KilnError(code, message, {
    reason: info?.reason || reasonOfCode(code),
    hint: info?.hint || undefined,
    details: info?.details,
  });
}

function findErrorInfo(details: unknown): ErrorInfo | undefined {
  if (!Array.isArray(details)) return undefined;
  for (const detail of details as { type?: unknown; value?: unknown }[]) {
    if (detail?.type !== ERROR_INFO || typeof detail.value !== "string") continue;
    const info = decodeErrorInfo(Buffer.from(detail.value, "base64"));
    if (info !== undefined) return info;
  }
  return undefined;
}

function codeOf(name: unknown): Code {
  if (typeof name !== "string") return Code.Unknown;
  // Connect writes one l.
  return name === "canceled" ? Code.Cancelled : (codeFromString(name) ?? Code.Unknown);
}

/** Connect's own refusals bring no reason. A deadline that kilnd saw first must look like one that we saw first. */
function reasonOfCode(code: Code): string {
  return code === Code.DeadlineExceeded ? "timeout" : codeToString(code).replaceAll("_", "-");
}

/** The error of a response that refuses the whole call: Connect's own where its body is one, else by its status. */
export function errorFromRefusal(status: number, method: string, body: string): KilnError {
  try {
    return errorFromWire(JSON.parse(body));
  } catch {
    return errorFromHttpStatus(status, method);
  }
}

/** The error of a response that is not Connect's: a proxy, another program on the socket, an older kilnd. */
export function errorFromHttpStatus(status: number, method: string): KilnError {
  if (status === 404) {
    return new KilnError(Code.Unimplemented, `kilnd does not know ${method}`, {
      reason: "unknown-method",
      hint: "client and daemon are of different versions: compare with `kiln version`",
    });
  }
  return new KilnError(Code.Unavailable, `kilnd answered ${method} with HTTP status ${status}`, {
    reason: "unexpected-answer",
    hint: "is it kilnd that listens on this socket?",
  });
}

/** What the calls of a connection fail with that its own user has closed. */
export class ClientClosed extends Error {}

/** The connection ended before the answer did. */
export function connectionLost(method: string, cause?: unknown): KilnError {
  if (cause instanceof Silence) return daemonSilent(method);
  if (cause instanceof ClientClosed) return clientClosed(method);
  return new KilnError(Code.Unavailable, `the connection to kilnd was lost during ${method}`, {
    reason: "connection-lost",
    hint: "kilnd may have been stopped or restarted; VMs go on without it",
    cause,
  });
}

/** No outage: nobody brings that connection back, and whoever waits must not wait for it. */
function clientClosed(method: string): KilnError {
  return new KilnError(Code.Cancelled, `${method}: this client was closed`, {
    reason: "client-closed",
    hint: "close it after the last of its calls, or connect anew with `Kiln.connect()`",
  });
}
