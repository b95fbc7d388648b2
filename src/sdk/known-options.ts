// Options that a caller misspelt: refused by name. The compiler finds them in TypeScript alone, and not behind a spread.

import { Code, KilnError } from "../base/errors.js";
import { nearest } from "../base/suggest.js";
import type { CallOptions } from "./deadline.js";

/** The names of a type's members; the compiler sees to it that none is left out. */
export type NamesOf<T> = Readonly<Record<keyof Required<T>, true>>;

export const CALL: NamesOf<CallOptions> = { signal: true, timeoutMs: true };

/** `{ signal, timeoutMs }` of options that have more. */
export function boundsOf({ signal, timeoutMs }: CallOptions): CallOptions {
  return { signal, timeoutMs };
}

/**
 * @param where the call or the option that these belong to: "kiln.run()"
 * @throws KilnError invalid_argument `unknown-option`, `bad-options`
 */
export function checkOptions<T extends object>(where: string, options: T, known: NamesOf<T>): void {
  const given: unknown = options;
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new KilnError(Code.InvalidArgument, `${where}: options are an object, not ${shown(given)}`, {
      reason: "bad-options",
    });
  }
  for (const [name, value] of Object.entries(given)) {
    if (value !== undefined && !Object.hasOwn(known, name)) throw unknown(where, name, Object.keys(known));
  }
}

function unknown(where: string, name: string, known: readonly string[]): KilnError {
  const near = nearest(name, known) ?? known.find((each) => each.toLowerCase() === name.toLowerCase());
  return new KilnError(Code.InvalidArgument, `${where}: there is no option ${JSON.stringify(name)}`, {
    reason: "unknown-option",
    hint: near === undefined ? `there are: ${known.join(", ")}` : `did you mean ${near}?`,
    details: { option: name },
  });
}

function shown(given: unknown): string {
  if (Array.isArray(given)) return "a list";
  return given === null ? "null" : `a ${typeof given}`;
}
