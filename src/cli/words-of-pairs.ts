// NAME=VALUE words of a flag that is repeated.

import { usageError } from "./usage-error.js";

/** "a=b", or "a" alone for an empty one. @param flag for the message: "--label" */
export function pairsOf(verb: string, flag: string, words: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    words.map((word) => {
      const cut = word.indexOf("=");
      if (word === "" || cut === 0) throw usageError(verb, `${flag} takes NAME=VALUE, not "${word}"`);
      return cut < 0 ? [word, ""] : [word.slice(0, cut), word.slice(cut + 1)];
    }),
  );
}
