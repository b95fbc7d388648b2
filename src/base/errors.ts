// The one error of kiln. Codes are gRPC's (https://grpc.io/docs/guides/status-codes/), so the API, the CLI's exit
// codes and, later, CRI's statuses derive from it without a table each. `reason` is the stable word for machines.

import type { InspectOptions, inspect as nodeInspect } from "node:util";
import { defined } from "./defined.js";
import { visible } from "./visible.js";

/** gRPC status codes that kiln uses. */
export const Code = {
  Cancelled: 1,
  Unknown: 2,
  InvalidArgument: 3,
  DeadlineExceeded: 4,
  NotFound: 5,
  AlreadyExists: 6,
  PermissionDenied: 7,
  ResourceExhausted: 8,
  FailedPrecondition: 9,
  Aborted: 10,
  OutOfRange: 11,
  Unimplemented: 12,
  Internal: 13,
  Unavailable: 14,
  DataLoss: 15,
  Unauthenticated: 16,
} as const;
export type Code = (typeof Code)[keyof typeof Code];

const CODE_NAMES = new Map<number, string>(
  Object.entries(Code).map(([name, code]) => [code, name.replace(/(?<=[a-z])(?=[A-Z])/g, "_").toLowerCase()]),
);

/** The code's name on the wire, e.g. "not_found" (Connect's spelling). */
export function codeToString(code: Code): string {
  return CODE_NAMES.get(code) ?? "unknown";
}

/** The code of a name such as "not_found"; undefined where there is none. */
export function codeFromString(name: string): Code | undefined {
  for (const [code, known] of CODE_NAMES) if (known === name) return code as Code;
  return undefined;
}

export interface KilnErrorInit {
  /** Stable, machine-readable, kebab-case: "image-not-found". */
  reason: string;
  /** One sentence that says what to do. */
  hint?: string | undefined;
  cause?: unknown;
  /** Facts for machines; values are short strings. */
  details?: Readonly<Record<string, string>> | undefined;
}

/** What every failure of kiln is: its code and reason are for programs, its message and hint for people. */
export class KilnError extends Error {
  override readonly name = "KilnError";
  readonly code: Code;
  readonly reason: string;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, string>>;

  /** @param message what was attempted, on which object, and why it failed. */
  constructor(code: Code, message: string, init: KilnErrorInit) {
    // Whoever prints it, prints names of files, images and labels with it.
    super(visible(message), init.cause === undefined ? undefined : { cause: init.cause });
    this.code = code;
    this.reason = init.reason;
    this.hint = init.hint === undefined ? undefined : visible(init.hint);
    this.details = init.details ?? {};
  }

  /** The code's name: "not_found". */
  get codeName(): string {
    return codeToString(this.code);
  }

  /** What JSON.stringify shows: an Error's own members would be left out. */
  toJSON(): Readonly<Record<string, unknown>> {
    const { name, code, codeName, reason, message, hint, details } = this;
    return defined({ name, code, codeName, reason, message, hint, details });
  }

  /** What console.log shows: the stack, with the code by its name. */
  [Symbol.for("nodejs.util.inspect.custom")](
    _depth: number,
    options: InspectOptions,
    inspect: typeof nodeInspect,
  ): string {
    const { code, codeName, reason, hint, details, cause } = this;
    const members = { code, codeName, reason, hint, details, cause };
    return `${this.stack ?? String(this)} ${inspect(members, options)}`;
  }

  /**
   * The only way from an unknown throw to a KilnError. A KilnError keeps its code, reason and hint and gains the
   * context; a Node system error becomes the nearest code (ENOENT: not_found, ENOSPC: resource_exhausted, ...).
   *
   * @param context what was being attempted: "pull docker.io/library/nginx:latest"
   */
  static from(error: unknown, context?: string): KilnError {
    const prefix = context === undefined ? "" : `${context}: `;
    if (error instanceof KilnError) {
      if (context === undefined) return error;
      return new KilnError(error.code, prefix + error.message, {
        reason: error.reason,
        hint: error.hint,
        details: error.details,
        cause: error,
      });
    }
    if (isAbortError(error)) {
      const timedOut = (error as Error).name === "TimeoutError";
      return new KilnError(
        timedOut ? Code.DeadlineExceeded : Code.Cancelled,
        `${prefix}${(error as Error).message}`,
        {
          reason: timedOut ? "timeout" : "cancelled",
          cause: error,
        },
      );
    }
    if (error instanceof Error) {
      const errno = (error as NodeJS.ErrnoException).code;
      const known = errno === undefined ? undefined : SYSTEM_ERRORS[errno];
      return new KilnError(known?.code ?? Code.Internal, prefix + systemWords(error, context), {
        reason: known?.reason ?? "internal",
        hint: known?.hint,
        cause: error,
      });
    }
    return new KilnError(Code.Unknown, prefix + String(error), { reason: "unknown", cause: error });
  }
}

/**
 * "ENOENT: no such file or directory, open '/x'" to "no such file or directory", with the path where the context lacks
 * it: the name of the call and the errno tell a user nothing more.
 */
function systemWords(error: NodeJS.ErrnoException, context = ""): string {
  const { code, syscall, path, message } = error;
  const words = /^([A-Z0-9]+): ([^,]+), /.exec(message);
  if (words?.[1] !== code || words?.[2] === undefined || syscall === undefined) return message;
  return path === undefined || context.includes(path) ? words[2] : `${path}: ${words[2]}`;
}

/** True for what AbortSignal throws, its time-outs included. */
export function isAbortError(error: unknown): boolean {
  return error instanceof Error && (error.name === "AbortError" || error.name === "TimeoutError");
}

/** True where `error` is a KilnError of that reason. */
export function hasReason(error: unknown, reason: string): boolean {
  return error instanceof KilnError && error.reason === reason;
}

/** The errno name of a Node system error ("ENOENT"), else undefined. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
}

/**
 * True where a write failed since nobody reads any more: EPIPE, or ECONNRESET of a socket that was closed with data
 * unread in it. What Node calls a pipe to a child is a pair of sockets.
 */
export function isReaderGone(error: unknown): boolean {
  return ["EPIPE", "ECONNRESET"].includes(errnoOf(error) ?? "");
}

const SYSTEM_ERRORS: Readonly<Record<string, { code: Code; reason: string; hint?: string }>> = {
  ENOENT: { code: Code.NotFound, reason: "no-such-file" },
  EEXIST: { code: Code.AlreadyExists, reason: "file-exists" },
  EACCES: { code: Code.PermissionDenied, reason: "permission-denied" },
  EPERM: { code: Code.PermissionDenied, reason: "permission-denied" },
  ENOSPC: {
    code: Code.ResourceExhausted,
    reason: "host-disk-full",
    hint: "free space on the disk that holds kiln's data, for example with `kiln system prune`",
  },
  EDQUOT: { code: Code.ResourceExhausted, reason: "host-disk-full", hint: "your disk quota is used up" },
  ENAMETOOLONG: {
    code: Code.InvalidArgument,
    reason: "path-too-long",
    hint: "Linux takes paths of up to 4095 bytes, and names of up to 255",
  },
  ELOOP: { code: Code.FailedPrecondition, reason: "link-loop" },
  ENOTDIR: { code: Code.FailedPrecondition, reason: "not-a-directory" },
  EISDIR: { code: Code.FailedPrecondition, reason: "is-a-directory" },
  EROFS: { code: Code.FailedPrecondition, reason: "read-only" },
  EFBIG: { code: Code.ResourceExhausted, reason: "file-too-large" },
  EMFILE: {
    code: Code.ResourceExhausted,
    reason: "too-many-open-files",
    hint: "raise LimitNOFILE / ulimit -n",
  },
  ENOMEM: { code: Code.ResourceExhausted, reason: "host-memory-short" },
  EADDRINUSE: { code: Code.AlreadyExists, reason: "address-in-use" },
  ECONNREFUSED: { code: Code.Unavailable, reason: "connection-refused" },
  ECONNRESET: { code: Code.Unavailable, reason: "connection-reset" },
  EPIPE: { code: Code.Unavailable, reason: "connection-reset" },
  ETIMEDOUT: { code: Code.DeadlineExceeded, reason: "timeout" },
  ENOTFOUND: { code: Code.Unavailable, reason: "host-not-found" },
  EAI_AGAIN: { code: Code.Unavailable, reason: "host-not-found" },
};
