// Values as Go's text/template treats them: what is true, how long, how it prints, where a field is.

import { usageError } from "../usage-error.js";

/** A second object that answers for fields which the first lacks: Docker's names beside kiln's own. */
export const ALSO: unique symbol = Symbol("also");

/** Go's truth: the zero value of anything is false. */
export function isTrue(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === "object" && value !== null)
    return value instanceof Date || Object.keys(value).length > 0;
  return value !== undefined && value !== null && value !== "" && value !== 0 && value !== false;
}

/** As Go prints: lists as [a b], maps as map[k:v], dates in RFC 3339. */
export function toText(value: unknown): string {
  if (value === undefined || value === null) return "";
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return `[${value.map(toText).join(" ")}]`;
  if (typeof value === "object") {
    return `map[${entriesOf(value)
      .map(([key, item]) => `${key}:${toText(item)}`)
      .join(" ")}]`;
  }
  return String(value);
}

export function lengthOf(value: unknown): number {
  if (typeof value === "string" || Array.isArray(value)) return value.length;
  return typeof value === "object" && value !== null ? Object.keys(value).length : 0;
}

/** What `range` goes through: a list by index, a map by its keys in order. */
export function entriesOf(value: unknown): readonly (readonly [string | number, unknown])[] {
  if (Array.isArray(value)) return value.map((item, index) => [index, item] as const);
  if (typeof value !== "object" || value === null || value instanceof Date) return [];
  return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
}

/** `index`: an element of a list, a value of a map; nothing where there is none. */
export function elementOf(value: unknown, keys: readonly unknown[]): unknown {
  let at = value;
  for (const key of keys) {
    if (Array.isArray(at)) {
      if (typeof key !== "number" || key < 0 || key >= at.length)
        throw bad(`index: there is no element ${toText(key)} in a list of ${at.length}`);
      at = at[key];
    } else if (typeof at === "object" && at !== null) {
      const name = String(key);
      at = Object.hasOwn(at, name) ? (at as Record<string, unknown>)[name] : undefined;
    } else return undefined;
  }
  return at;
}

/** @throws KilnError invalid_argument `usage` where a field is not there */
export function fieldOf(value: unknown, path: readonly string[]): unknown {
  let at = value;
  for (const name of path) {
    if (at === undefined || at === null) return undefined;
    if (typeof at !== "object") throw bad(`there is no field .${path.join(".")}`);
    const found = findField(at, name);
    if (found === undefined) {
      if (isOpenMap(at)) return undefined;
      throw bad(`there is no field .${path.join(".")}; there are ${fieldNames(at).join(", ")}`);
    }
    at = found.value;
  }
  return at;
}

/**
 * Of that very name, else of that name in another case: `.Status.State` finds `status.state`. Where there is a second
 * object it comes between the two, so that `.State.Status` is Docker's and `.status.state` kiln's.
 */
function findField(object: object, name: string): { readonly value: unknown } | undefined {
  const also = (object as { [ALSO]?: object })[ALSO];
  if (Object.hasOwn(object, name)) return { value: (object as Record<string, unknown>)[name] };
  if (also !== undefined && Object.hasOwn(also, name)) {
    return { value: (also as Record<string, unknown>)[name] };
  }
  const lower = name.toLowerCase();
  for (const each of also === undefined ? [object] : [object, also]) {
    const key = Object.keys(each).find((known) => known.toLowerCase() === lower);
    if (key !== undefined) return { value: (each as Record<string, unknown>)[key] };
  }
  return undefined;
}

function fieldNames(object: object): string[] {
  const also = (object as { [ALSO]?: object })[ALSO];
  return [...Object.keys(object), ...Object.keys(also ?? {})];
}

/** Labels and the like hold any key: a missing one is empty, not a mistake. All their values are strings. */
function isOpenMap(object: object): boolean {
  const isObject = "id" in object || "ID" in object || ALSO in object;
  return !isObject && Object.values(object).every((item) => typeof item === "string");
}

/** @throws KilnError invalid_argument `usage`, always */
export function bad(why: string): Error {
  return usageError("", `--format: ${why}`);
}
