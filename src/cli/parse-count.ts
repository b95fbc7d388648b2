// Numbers on the command line.

import { usageError } from "./usage-error.js";

/** A whole number from 1 on. @param flag as it was written: "-n", "--jobs" */
export function parseCount(verb: string, flag: string, text: string): number {
  if (/^[1-9][0-9]{0,6}$/.test(text)) return Number(text);
  throw usageError(verb, `${flag} takes a number above 0, not "${text}"`);
}
