// Sizes on their way to kilnd.

import { Code, KilnError } from "../base/errors.js";
import { parseSize } from "../base/units.js";
import type { Size } from "./types.js";

/**
 * Bytes as the wire has them.
 *
 * @param what names the option in the error: "memory"
 * @throws KilnError invalid_argument `bad-size`
 */
export function wireSize(size: Size, what: string): string {
  const bytes = typeof size === "string" ? parseSize(size, what) : size;
  if (Number.isSafeInteger(bytes) && bytes >= 0) return String(bytes);
  throw new KilnError(Code.InvalidArgument, `${what} ${bytes} is not a whole number of bytes`, {
    reason: "bad-size",
  });
}

/** The same of a disk. @throws KilnError invalid_argument `bad-size`, also for 0: that means "the default" on the wire */
export function wireDiskSize(size: Size, what: string): string {
  const bytes = wireSize(size, what);
  if (bytes !== "0") return bytes;
  throw new KilnError(Code.InvalidArgument, `${what} ${size}: a disk has more than 0 bytes`, {
    reason: "bad-size",
    hint: "leave it out for the default",
  });
}
