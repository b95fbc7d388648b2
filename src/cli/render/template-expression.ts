// What stands between {{ and }}: a field path, a literal, a function of those, or a pipe of functions.

import { usageError } from "../usage-error.js";

/** An action, parsed. */
export type Expression =
  | { readonly kind: "path"; readonly path: readonly string[] }
  | { readonly kind: "literal"; readonly value: string | number | boolean }
  | { readonly kind: "call"; readonly name: FunctionName; readonly args: readonly Expression[] };

const FUNCTIONS = {
  json: (value: unknown) => JSON.stringify(value) ?? "null",
  join: (value: unknown, separator: unknown) =>
    Array.isArray(value) ? value.map(String).join(String(separator)) : "",
  lower: (value: unknown) => String(value).toLowerCase(),
  upper: (value: unknown) => String(value).toUpperCase(),
  len: (value: unknown) => lengthOf(value),
} as const;
type FunctionName = keyof typeof FUNCTIONS;
const ARITY: Readonly<Record<FunctionName, number>> = { json: 1, join: 2, lower: 1, upper: 1, len: 1 };

/** @throws KilnError invalid_argument `usage` */
export function parseExpression(source: string): Expression {
  const text = source.trim();
  if (text === "") throw bad("an action is empty");
  let piped: Expression | undefined;
  for (const part of splitPipes(text)) piped = parseCommand(part, piped);
  return piped ?? { kind: "literal", value: "" };
}

function splitPipes(text: string): string[][] {
  const commands: string[][] = [[]];
  for (const word of words(text)) {
    if (word === "|") commands.push([]);
    else commands.at(-1)?.push(word);
  }
  return commands;
}

const WORD = /"(?:[^"\\]|\\.)*"|`[^`]*`|[()|]|[^\s()|"`]+/g;

/** Strings whole, parentheses on their own, the rest at spaces. */
function words(text: string): string[] {
  const out: string[] = [];
  const left = text.replace(WORD, (word) => {
    out.push(word);
    return " ";
  });
  if (left.trim() !== "") throw bad(`"${text}" cannot be read`);
  return out;
}

function parseCommand(parts: readonly string[], piped: Expression | undefined): Expression {
  const { args, rest } = parseArguments(parts);
  if (rest.length > 0) throw bad("parentheses do not match");
  const [first, ...others] = args;
  if (first === undefined) throw bad("a pipe has an empty part");
  if (typeof first !== "string") {
    if (others.length > 0 || piped !== undefined) throw bad("a field takes no arguments");
    return first;
  }
  // What is piped is the value, `join`'s separator comes after it.
  return call(first, [...(piped === undefined ? [] : [piped]), ...others.map(asExpression)]);
}

type Argument = Expression | string;

function parseArguments(parts: readonly string[]): { args: Argument[]; rest: readonly string[] } {
  const args: Argument[] = [];
  let rest = parts;
  while (rest.length > 0) {
    const [part = "", ...after] = rest;
    if (part === ")") return { args, rest };
    if (part === "(") {
      const inner = parseArguments(after);
      if (inner.rest[0] !== ")") throw bad("parentheses do not match");
      args.push(fromArguments(inner.args));
      rest = inner.rest.slice(1);
    } else {
      args.push(parseAtom(part));
      rest = after;
    }
  }
  return { args, rest };
}

function fromArguments(args: readonly Argument[]): Expression {
  const [first, ...others] = args;
  if (first === undefined) throw bad("parentheses are empty");
  if (typeof first === "string") return call(first, others.map(asExpression));
  if (others.length > 0) throw bad("a field takes no arguments");
  return first;
}

function asExpression(argument: Argument): Expression {
  return typeof argument === "string" ? call(argument, []) : argument;
}

/** A literal or a path; a bare word is a function's name. */
function parseAtom(part: string): Argument {
  if (part.startsWith('"')) return { kind: "literal", value: parseString(part) };
  if (part.startsWith("`")) return { kind: "literal", value: part.slice(1, -1) };
  if (/^-?[0-9]+(\.[0-9]+)?$/.test(part)) return { kind: "literal", value: Number(part) };
  if (part === "true" || part === "false") return { kind: "literal", value: part === "true" };
  if (part.startsWith("$")) throw bad("variables ($x) are not supported");
  if (part === ".") return { kind: "path", path: [] };
  if (/^(\.[\p{L}_][\p{L}\p{N}_-]*)+$/u.test(part)) return { kind: "path", path: part.slice(1).split(".") };
  return part;
}

function parseString(quoted: string): string {
  try {
    return JSON.parse(quoted) as string;
  } catch {
    throw bad(`${quoted} is no string`);
  }
}

function call(name: string, args: readonly Expression[]): Expression {
  if (!isFunction(name)) {
    throw bad(`"${name}" is not supported; there are ${Object.keys(FUNCTIONS).join(", ")}, if and range`);
  }
  if (args.length !== ARITY[name])
    throw bad(`${name} takes ${ARITY[name]} argument${ARITY[name] === 1 ? "" : "s"}`);
  return { kind: "call", name, args };
}

function isFunction(name: string): name is FunctionName {
  return Object.hasOwn(FUNCTIONS, name);
}

/** @throws KilnError invalid_argument `usage` where a field is not there */
export function evaluate(expression: Expression, value: unknown): unknown {
  if (expression.kind === "literal") return expression.value;
  if (expression.kind === "path") return lookUp(value, expression.path);
  const [first, second] = expression.args.map((arg) => evaluate(arg, value));
  return FUNCTIONS[expression.name](first, second);
}

function lookUp(value: unknown, path: readonly string[]): unknown {
  let at = value;
  for (const name of path) {
    if (at === undefined || at === null) return undefined;
    if (typeof at !== "object") throw bad(`there is no field .${path.join(".")}`);
    const key = findKey(at, name);
    if (key === undefined) {
      if (isOpenMap(at)) return undefined;
      throw bad(`there is no field .${path.join(".")}; there are ${Object.keys(at).join(", ")}`);
    }
    at = (at as Record<string, unknown>)[key];
  }
  return at;
}

/** The field of that very name, else of that name in another case: `.Status.State` finds `status.state`. */
function findKey(object: object, name: string): string | undefined {
  if (Object.hasOwn(object, name)) return name;
  const lower = name.toLowerCase();
  return Object.keys(object).find((key) => key.toLowerCase() === lower);
}

/** Labels and the like hold any key: a missing one is empty, not a mistake. All their values are strings. */
function isOpenMap(object: object): boolean {
  return (
    Object.values(object).every((item) => typeof item === "string") && !("id" in object) && !("ID" in object)
  );
}

function lengthOf(value: unknown): number {
  if (typeof value === "string" || Array.isArray(value)) return value.length;
  return typeof value === "object" && value !== null ? Object.keys(value).length : 0;
}

function bad(why: string): Error {
  return usageError("", `--format: ${why}`);
}
