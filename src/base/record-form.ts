// A record of kiln's own in a file that is kept twice: read whatever became of it, and brought up to date where an
// older release wrote it. What could be read and what could not are told apart, so that whoever asked for it decides.

import { readKept, writeKept } from "./kept-file.js";
import type { Logger } from "./log.js";
import { type Parsed, parseVersioned, type RecordKind } from "./versioned.js";

export type Versioned = { version: number };

/** How a kind of record is read and written. */
export interface Form<T extends Versioned> {
  readonly kind: RecordKind<T>;
  /**
   * Where it takes more than the schema to read one: a word of another release that is guessed, the id of another
   * object. undefined: it is no such record. Default: what the schema says.
   */
  readonly parse?: (json: unknown, id: string) => Parsed<T> | undefined;
  /** True where it says all that matters. A copy that does is taken before a file that does not. Default: always. */
  readonly isWhole?: (parsed: Parsed<T>, json: unknown, id: string) => boolean;
  /** Of the files. Default 0600. */
  readonly mode?: number;
}

/** What became of a record. */
export interface Reading<T> {
  /** As far as it can be read; undefined where nothing can. */
  readonly value: T | undefined;
  /** It says all that its form asks for. */
  readonly whole: boolean;
  /** The file itself was missing or damaged. */
  readonly fromCopy: boolean;
  /** Written by a release that knows more: it is read as far as it can be, and left as it is. */
  readonly newer: boolean;
  /** Fields that could not be understood and have their defaults. */
  readonly problems: readonly string[];
  /** What was wrong with the file; undefined where it was good or not there. */
  readonly damage: string | undefined;
}

/**
 * The first of file and copy that is whole; else the first of which anything can be read. A whole one mends the other,
 * and one of an older form is written in the present one; a newer form is never written over.
 */
export async function readForm<T extends Versioned>(
  path: string,
  form: Form<T>,
  id: string,
): Promise<Reading<T>> {
  const parse = (json: unknown) =>
    form.parse === undefined ? parseVersioned(form.kind, json) : form.parse(json, id);
  const strictly = (json: unknown) => {
    const parsed = parse(json);
    return parsed === undefined || form.isWhole?.(parsed, json, id) === false ? undefined : parsed;
  };
  const { value, damage, ...kept } = { fromCopy: false, ...(await readKept(path, strictly, modeOf(form))) };
  if (value !== undefined) {
    await bringUpToDate(path, value, form);
    return readingOf(value, { whole: true, fromCopy: kept.fromCopy, damage });
  }
  const rest = { fromCopy: false, ...(await readKept(path, parse, { mend: false })) };
  return readingOf(rest.value, { whole: false, fromCopy: rest.fromCopy, damage });
}

/** Once and for all; where it can't be (a full disk), at the next time. */
async function bringUpToDate<T extends Versioned>(path: string, parsed: Parsed<T>, form: Form<T>) {
  if (!parsed.migrated || parsed.problems.length > 0) return;
  await writeKept(path, parsed.value, modeOf(form)).catch(() => undefined);
}

function readingOf<T>(
  parsed: Parsed<T> | undefined,
  how: Pick<Reading<T>, "whole" | "fromCopy" | "damage">,
): Reading<T> {
  const { value, newer = false, problems = [] } = parsed ?? {};
  return { value, newer, problems, ...how };
}

/** Says in the log that a file was not what it should be, or not there, and what became of it. */
export function tellDamage(log: Logger, path: string, { value, fromCopy, damage }: Reading<unknown>): void {
  if (value !== undefined && damage === undefined && !fromCopy) return;
  const outcome = value === undefined ? "lost" : fromCopy ? "read from its copy" : "read as far as it goes";
  log.warn("a file is damaged", { path, outcome, why: damage ?? "it is gone" });
}

/** For the functions of kept-file.ts. */
export function modeOf({ mode }: Pick<Form<Versioned>, "mode">): { mode?: number } {
  return mode === undefined ? {} : { mode };
}
