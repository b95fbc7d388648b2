// The functions of templates: Go's own that people use in `docker ... --format`, and those that Docker adds.

import { bad, elementOf, isTrue, lengthOf, toText } from "./template-values.js";

interface TemplateFunction {
  readonly least: number;
  readonly most: number;
  /** What is piped in comes first, not last as in Go: `.tags | join ","`. */
  readonly pipedFirst?: boolean;
  run(...args: readonly unknown[]): unknown;
}

const MANY = Number.POSITIVE_INFINITY;

const FUNCTIONS: Readonly<Record<string, TemplateFunction>> = {
  json: exactly(1, (value) => JSON.stringify(value) ?? "null"),
  join: {
    ...exactly(2, (value, separator) =>
      Array.isArray(value) ? value.map(toText).join(toText(separator)) : "",
    ),
    pipedFirst: true,
  },
  split: { ...exactly(2, (value, separator) => toText(value).split(toText(separator))), pipedFirst: true },
  lower: exactly(1, (value) => toText(value).toLowerCase()),
  upper: exactly(1, (value) => toText(value).toUpperCase()),
  title: exactly(1, (value) => toText(value).replace(/(^|\s)\S/g, (start) => start.toUpperCase())),
  truncate: {
    ...exactly(2, (value, length) => [...toText(value)].slice(0, Number(length)).join("")),
    pipedFirst: true,
  },
  len: exactly(1, lengthOf),
  slice: { least: 1, most: 3, run: (value, from, to) => sliceOf(value, from, to) },
  html: { least: 1, most: MANY, run: (...values) => escapeHtml(values.map(toText).join("")) },
  index: { least: 1, most: MANY, run: (value, ...keys) => elementOf(value, keys) },
  print: { least: 0, most: MANY, run: (...values) => values.map(toText).join(" ") },
  println: { least: 0, most: MANY, run: (...values) => `${values.map(toText).join(" ")}\n` },
  printf: { least: 1, most: MANY, run: (form, ...values) => printf(toText(form), values) },
  eq: { least: 2, most: MANY, run: (value, ...others) => others.some((other) => isSame(value, other)) },
  ne: exactly(2, (a, b) => !isSame(a, b)),
  lt: exactly(2, (a, b) => order(a, b) < 0),
  le: exactly(2, (a, b) => order(a, b) <= 0),
  gt: exactly(2, (a, b) => order(a, b) > 0),
  ge: exactly(2, (a, b) => order(a, b) >= 0),
  not: exactly(1, (value) => !isTrue(value)),
  and: { least: 1, most: MANY, run: (...values) => values.find((value) => !isTrue(value)) ?? values.at(-1) },
  or: { least: 1, most: MANY, run: (...values) => values.find(isTrue) ?? values.at(-1) },
};

function exactly(count: number, run: (...args: readonly unknown[]) => unknown): TemplateFunction {
  return { least: count, most: count, run };
}

/** @throws KilnError invalid_argument `usage` for a name or a number of arguments that is none */
export function findFunction(name: string, args: number): TemplateFunction {
  const found = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined;
  if (found === undefined) {
    const all = [...Object.keys(FUNCTIONS), "if", "with", "range"].join(", ");
    throw bad(`"${name}" is not supported; there are ${all}`);
  }
  if (args < found.least || args > found.most) {
    const least = found.most > found.least ? `at least ${found.least}` : String(found.least);
    throw bad(`${name} takes ${least} argument${found.least === 1 ? "" : "s"}`);
  }
  return found;
}

/** `slice`: a part of a text, by its bytes as in Go, or of a list. */
function sliceOf(value: unknown, from: unknown = 0, to?: unknown): unknown {
  const whole = Array.isArray(value) ? value : Buffer.from(toText(value));
  const [start, end] = [Number(from), to === undefined ? whole.length : Number(to)];
  const isPlace = (place: number) => Number.isInteger(place) && place >= 0 && place <= whole.length;
  if (!isPlace(start) || !isPlace(end) || start > end)
    throw bad(`slice: there is no part ${toText(from)} to ${toText(to ?? whole.length)} of ${whole.length}`);
  return Array.isArray(whole) ? whole.slice(start, end) : whole.subarray(start, end).toString();
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&#34;",
  "'": "&#39;",
  "\0": "\ufffd",
};

function escapeHtml(text: string): string {
  return text.replace(/[&<>"'\0]/g, (char) => ENTITIES[char] ?? char);
}

function isSame(a: unknown, b: unknown): boolean {
  return typeof a === typeof b ? toText(a) === toText(b) : a === b;
}

function order(a: unknown, b: unknown): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  const [left, right] = [toText(a), toText(b)];
  return left === right ? 0 : left < right ? -1 : 1;
}

const MOST_WIDTH = 1000;

/** Go's verbs that make sense here: %s %v %q %d %f %t %x, with width, zeros, minus and precision. */
function printf(form: string, values: readonly unknown[]): string {
  let next = 0;
  return form.replace(
    /%([-0+ #]*)(\d*)(?:\.(\d+))?([a-zA-Z%])/g,
    (_, flags: string, width: string, precision: string | undefined, verb: string) => {
      if (verb === "%") return "%";
      if (next >= values.length) throw bad(`printf: there is no value for %${verb}`);
      const text = formatOne(
        verb,
        values[next++],
        precision === undefined ? undefined : Math.min(20, Number(precision)),
      );
      const columns = Math.min(MOST_WIDTH, Number(width));
      if (flags.includes("-")) return text.padEnd(columns);
      if (!flags.includes("0")) return text.padStart(columns);
      const sign = "dfx".includes(verb) && text.startsWith("-") ? "-" : "";
      return sign + text.slice(sign.length).padStart(columns - sign.length, "0");
    },
  );
}

function formatOne(verb: string, value: unknown, precision: number | undefined): string {
  switch (verb) {
    case "s":
    case "v":
      return precision === undefined ? toText(value) : toText(value).slice(0, precision);
    case "t":
    case "d":
      return toText(value);
    case "q":
      return JSON.stringify(toText(value));
    case "f":
      return Number(value).toFixed(precision ?? 6);
    case "x":
      return typeof value === "number" ? value.toString(16) : Buffer.from(toText(value)).toString("hex");
    default:
      throw bad(`printf has no %${verb}; there are %s, %v, %q, %d, %f, %t and %x`);
  }
}
