// Where the checks of structure don't hold yet: these are only told, everything new fails. Take off what is mended; add
// nothing without a word why in the commit.

import { SetupError } from "./run.mjs";
import { say } from "./step.mjs";

export const NOT_YET = {
  /** Files over the limit, by their names alone: so a move keeps them. */
  files: [],
  /** Functions over the limit. */
  functions: [],
  /** Where a knot of imports lies. */
  circles: [],
  /** Rooms of the engine that import one above, as "run -> system". */
  engineArrows: [],
  /** Doors with names that nobody explained. */
  doors: [],
  /** Rooms that export values for nobody. */
  needlessExports: [],
  /** Doors that pass on names for which nobody enters. */
  idleDoors: [],
};

/**
 * Tells what is known, and fails for the rest.
 *
 * @param {{ key: string, text: string }[]} problems
 * @param {readonly string[]} known keys that don't fail yet
 * @throws SetupError with the texts of all others
 */
export function judge(problems, known, tell = say) {
  const unknown = problems.filter(({ key }) => !known.includes(key));
  for (const { key, text } of problems) if (known.includes(key)) tell(`    not yet: ${text}`);
  for (const key of known) {
    if (problems.every((problem) => problem.key !== key)) tell(`    mended, take it off not-yet.mjs: ${key}`);
  }
  if (unknown.length > 0) throw new SetupError(unknown.map(({ text }) => text).join("\n"));
}
