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
