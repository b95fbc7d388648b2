// The arguments and the environment that this process was really given: Node shows bytes that are not UTF-8 as U+FFFD,
// and what was meant would be changed without a word.

import { isUtf8 } from "node:buffer";
import { readFileSync } from "node:fs";
import { notUtf8 } from "../base/utf8.js";

const REPLACEMENT = "\ufffd";

/**
 * Refuses words that Node has changed.
 *
 * @param source where the kernel keeps them: proc(5)
 * @param words as Node shows them; without U+FFFD nothing is looked at
 * @param what is being attempted
 * @throws KilnError invalid_argument `not-utf8`
 */
export function requireUtf8(source: "cmdline" | "environ", words: readonly string[], what: string): void {
  const doubtful = words.filter((word) => word.includes(REPLACEMENT));
  if (doubtful.length === 0) return;
  for (const raw of splitNul(readFileSync(`/proc/self/${source}`))) {
    if (isUtf8(raw)) continue;
    const shown = raw.toString("utf8");
    if (doubtful.some((word) => shown.endsWith(word))) {
      throw notUtf8(what, "kiln's wire carries text as UTF-8; give such bytes in a file, or as stdin");
    }
  }
}

function* splitNul(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(0, at);
    const last = end < 0 ? bytes.length : end;
    yield bytes.subarray(at, last);
    at = last + 1;
  }
}
