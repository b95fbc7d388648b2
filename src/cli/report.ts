// Errors for people: `kiln: <what failed>: <why>`, then one hint.

import { codeToString, KilnError } from "../base/errors.js";
import { safeText } from "./render/safe-text.js";
import type { Style } from "./render/style.js";

/** The lines of an error, with a final newline. `debug` adds code, reason and the stack with its causes. */
export function formatError(error: unknown, style: Style, debug = false): string {
  const known = error instanceof KilnError ? error : KilnError.from(error);
  const lines = [`${style.red("kiln:")} ${safeText(known.message)}`];
  if (known.hint !== undefined) lines.push(`${style.cyan("hint:")} ${safeText(known.hint)}`);
  if (debug) lines.push(style.dim(describe(known)));
  return `${lines.join("\n")}\n`;
}

/** A line of the program's own; guests and kilnd may have a word in it. */
export function formatNote(line: string): string {
  return `${safeText(line)}\n`;
}

function describe(error: KilnError): string {
  const lines = [`code ${codeToString(error.code)}, reason ${error.reason}`];
  for (const [key, value] of Object.entries(error.details)) lines.push(`${key}: ${safeText(value)}`);
  let cause: unknown = error;
  for (let depth = 0; cause instanceof Error && depth < 8; depth++) {
    lines.push(safeText(cause.stack ?? cause.message));
    cause = cause.cause;
  }
  return lines.join("\n");
}
