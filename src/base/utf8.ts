// Bytes that must be text: refused where they are none. Node's own decoding changes them without a word.

import { isUtf8 } from "node:buffer";
import { Code, KilnError } from "./errors.js";

/**
 * @param what for the message: what is being attempted
 * @throws KilnError invalid_argument `not-utf8`
 */
export function utf8OrThrow(bytes: Uint8Array, what: string): string {
  if (!isUtf8(bytes)) throw notUtf8(what);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
}

/** @param what "copy a to b", "read the environment file f:3" */
export function notUtf8(what: string, hint?: string): KilnError {
  return new KilnError(Code.InvalidArgument, `${what}: it holds bytes that are not UTF-8`, {
    reason: "not-utf8",
    hint,
  });
}
