// State of other releases. What kiln keeps carries the version of its form; an older form is brought up to date step by
// step, a newer one is read as far as it can be. Fields that this release does not know stay where they were and are
// written back, so that a downgrade loses nothing; a field that is missing or can't be understood takes its default, and
// never costs the rest of the file.

import * as v from "valibot";

export type JsonObject = { [key: string]: unknown };

export interface RecordKind<T extends { version: number }> {
  /**
   * The present form. It is raised only where a field that was known changes its meaning or place: a new field has a
   * default and needs no new form.
   */
  readonly version: number;
  /** Of open objects, with a default for every field that may be missing. */
  readonly schema: v.GenericSchema<unknown, T>;
  /** `migrations[n]` makes form n + 1 of form n. It gets a copy of its own. */
  readonly migrations: Readonly<Record<number, (old: JsonObject) => JsonObject>>;
}

export interface Parsed<T> {
  /** `version` in it is the file's where that is newer: what is written back does not claim an older form. */
  readonly value: T;
  /** Fields that could not be understood and have their defaults, as "config.network: ...". */
  readonly problems: readonly string[];
  /** Made by a release that knows more than this one. */
  readonly newer: boolean;
  /** Brought up from an older form. */
  readonly migrated: boolean;
}

/** An object whose unknown fields stay in it: it is typed as if there were none. */
export function openObject<const E extends v.ObjectEntries>(entries: E): v.ObjectSchema<E, undefined> {
  // Types name what is known; at run time everything else stays in the object and goes where the object goes.
  return v.looseObject(entries) as unknown as v.ObjectSchema<E, undefined>;
}

/** Fields that can be dropped one by one before a file counts as hopeless. */
const MOST_PROBLEMS = 1000;

/** undefined where it is no object, or what can't have a default is missing. */
export function parseVersioned<T extends { version: number }>(
  kind: RecordKind<T>,
  json: unknown,
): Parsed<T> | undefined {
  if (!isObject(json)) return undefined;
  const version = versionOf(json, kind.version);
  const input = migrate(kind, structuredClone(json), version);
  const problems: string[] = [];
  while (problems.length < MOST_PROBLEMS) {
    const result = v.safeParse(kind.schema, input, { abortEarly: true });
    if (result.success) {
      const value = { ...result.output, version: Math.max(version, kind.version) };
      return { value, problems, newer: version > kind.version, migrated: version < kind.version };
    }
    const [issue] = result.issues;
    problems.push(`${v.getDotPath(issue) ?? "the file"}: ${issue.message}`);
    const path = (issue.path ?? []).map(({ key }) => key);
    if (!drop(input, path)) return undefined;
  }
  return undefined;
}

/** What is looked at of a schema. */
interface Shape {
  /** Of what may be missing. */
  readonly wrapped?: Shape;
  /** Of an object; lists and maps have none. */
  readonly entries?: Readonly<Record<string, Shape>>;
}

/**
 * A record that is made anew in the place of one, with what this release does not know of the one before. What is in
 * lists and maps is the new one's alone.
 */
export function keepUnknown<T extends { version: number }>(
  { schema }: RecordKind<T>,
  before: T | undefined,
  next: T,
): T {
  if (before === undefined) return next;
  const kept = withUnknownOf(schema as Shape, before, next) as T;
  return { ...kept, version: Math.max(before.version, next.version) };
}

function withUnknownOf({ wrapped, entries }: Shape, before: unknown, next: unknown): unknown {
  if (wrapped !== undefined) return withUnknownOf(wrapped, before, next);
  if (entries === undefined || !isObject(before) || !isObject(next)) return next;
  const kept: JsonObject = { ...next };
  for (const [key, old] of Object.entries(before)) {
    const shape = Object.hasOwn(entries, key) ? entries[key] : undefined;
    if (shape === undefined) kept[key] ??= old;
    else if (Object.hasOwn(next, key)) kept[key] = withUnknownOf(shape, old, next[key]);
  }
  return kept;
}

/** A file of before versions is of the first; nonsense is taken for the present one. */
function versionOf({ version = 1 }: JsonObject, present: number): number {
  return typeof version === "number" && Number.isSafeInteger(version) && version > 0 ? version : present;
}

function migrate<T extends { version: number }>(
  kind: RecordKind<T>,
  json: JsonObject,
  from: number,
): JsonObject {
  let form = json;
  for (let version = from; version < kind.version; version++) {
    form = kind.migrations[version]?.(form) ?? form;
  }
  return { ...form, version: Math.max(from, kind.version) };
}

/**
 * Takes away what stands in the way: the field itself, or, where it is the lack of one that hurts, the object around it.
 *
 * @returns false where nothing is left to take away
 */
function drop(root: JsonObject, path: readonly unknown[]): boolean {
  if (path.length === 0) return false;
  const parents = path.slice(0, -1);
  const parent = parents.reduce<unknown>((at, key) => (at as JsonObject | undefined)?.[String(key)], root);
  const key = String(path.at(-1));
  if (Array.isArray(parent) && key in parent) {
    parent.splice(Number(key), 1);
    return true;
  }
  if (isObject(parent) && Object.hasOwn(parent, key)) {
    delete parent[key];
    return true;
  }
  return drop(root, parents);
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
