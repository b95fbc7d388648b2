// From what the network and a registry throw to KilnErrors: one place that decides what is worth another try.
// Nothing here may show a secret: no URL queries (signed links), no header values, no unchecked text of a server.

import { Code, errnoOf, isAbortError, KilnError } from "../../base/errors.js";
import { ImageReason } from "../reasons.js";

/** Longest piece of a server's words that an error repeats. */
const MAX_QUOTE = 300;

/** An URL for people: without user, query and fragment, which may hold secrets. */
export function showUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname.slice(0, 200)}`;
}

/** A server's words, made fit for a terminal and a log line: printable, one line, bounded. */
export function quoteServer(text: string): string {
  const line = text.replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, " ").trim();
  return line.length > MAX_QUOTE ? `${line.slice(0, MAX_QUOTE)}...` : line;
}

/**
 * True where the same request may succeed a moment later. gRPC's codes say it: Unavailable is "try again".
 */
export function isTransient(error: unknown): boolean {
  if (!(error instanceof KilnError)) return false;
  return (
    error.code === Code.Unavailable ||
    error.reason === ImageReason.RegistryTimeout ||
    error.reason === ImageReason.RateLimited
  );
}

/** True where no try has ever reached the host: wrong name or nobody listening. Trying on only delays the message. */
export function isUnreachable(error: unknown): boolean {
  return error instanceof KilnError && error.details.unreachable === "true";
}

/** How long the server asked to wait, if it did. */
export function retryAfterOf(error: unknown): number | undefined {
  const text = error instanceof KilnError ? error.details.retryAfterMs : undefined;
  return text === undefined ? undefined : Number(text);
}

export function timeoutError(what: string, ms: number): KilnError {
  return new KilnError(Code.DeadlineExceeded, `${what}: no answer within ${Math.ceil(ms / 1000)} s`, {
    reason: ImageReason.RegistryTimeout,
    hint: "the registry or the network is slow; the pull resumes where it stopped when you try again",
  });
}

/** The connection ended before the answer did. */
function cutError(what: string, cause?: unknown): KilnError {
  return new KilnError(Code.Unavailable, `${what}: the connection was cut`, {
    reason: ImageReason.RegistryUnreachable,
    cause,
  });
}

const TLS_CODES =
  /^(ERR_TLS_|ERR_SSL_|ERR_OSSL_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|EPROTO|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE|ERR_HTTP2?_INVALID)/;

/**
 * Whatever node:http throws, as a KilnError.
 *
 * @param what the object: "registry ghcr.io"
 * @param signal the caller's: an abort is a cancellation, never a network failure
 */
export function networkError(error: unknown, what: string, signal?: AbortSignal): KilnError {
  if (signal?.aborted) return KilnError.from(signal.reason, what);
  if (error instanceof KilnError) return error;
  if (isAbortError(error)) return KilnError.from(error, what);
  const errno = errnoOf(error) ?? "";
  if (
    errno === "ECONNREFUSED" ||
    errno === "ENOTFOUND" ||
    errno === "EHOSTUNREACH" ||
    errno === "ENETUNREACH"
  ) {
    return new KilnError(Code.Unavailable, `${what}: ${WHY_UNREACHABLE[errno]}`, {
      reason: ImageReason.RegistryUnreachable,
      hint: "check the registry's name and port, and this machine's network",
      details: { unreachable: "true" },
      cause: error,
    });
  }
  if (errno === "EAI_AGAIN") {
    return new KilnError(Code.Unavailable, `${what}: the name server does not answer`, {
      reason: ImageReason.RegistryUnreachable,
      hint: "check this machine's network and /etc/resolv.conf",
      cause: error,
    });
  }
  if (errno === "ETIMEDOUT") {
    return new KilnError(Code.DeadlineExceeded, `${what}: the connection timed out`, {
      reason: ImageReason.RegistryTimeout,
      cause: error,
    });
  }
  if (TLS_CODES.test(errno)) {
    return new KilnError(Code.FailedPrecondition, `${what}: TLS failed: ${tlsWords(error, errno)}`, {
      reason: ImageReason.TlsError,
      hint: "put the registry's CA certificate into certs.d/<host>/ca.crt in kiln's config directory; for a registry without TLS ask for plain HTTP",
      cause: error,
    });
  }
  if (errno.startsWith("HPE_")) {
    return new KilnError(Code.FailedPrecondition, `${what}: the answer is not HTTP (${errno})`, {
      reason: ImageReason.RegistryError,
      cause: error,
    });
  }
  return cutError(what, error);
}

const WHY_UNREACHABLE: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there (connection refused)",
  ENOTFOUND: "the host name is not known",
  EHOSTUNREACH: "no route to the host",
  ENETUNREACH: "the network is unreachable",
};

function tlsWords(error: unknown, errno: string): string {
  if (errno === "EPROTO" || errno.startsWith("ERR_SSL_"))
    return `the server does not speak TLS there (${errno})`;
  return error instanceof Error ? quoteServer(error.message) : errno;
}
