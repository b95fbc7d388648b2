// Why a file of a VM could not be read.

import { Code, errnoOf, hasReason, KilnError } from "../base/errors.js";

/** There is nothing at the path; a VM that is not there is another matter. */
export function isMissing(error: unknown): boolean {
  const notFound =
    error instanceof KilnError && error.code === Code.NotFound && !hasReason(error, "vm-not-found");
  return notFound || errnoOf(error) === "ENOENT";
}

export function notAFile(path: string, what: string): KilnError {
  return new KilnError(Code.FailedPrecondition, `read ${path}: it is no regular file (${what})`, {
    reason: "not-a-file",
  });
}

export function tooLarge(path: string, size: number, maxBytes: number): KilnError {
  return new KilnError(Code.ResourceExhausted, `read ${path}: it has ${size} bytes, more than ${maxBytes}`, {
    reason: "file-too-large",
    hint: "raise maxBytes, or use copyOut()",
  });
}
