// What stands between {{ and }}: a field path, a variable, a literal, a function of those, or a pipe of functions.

import { findFunction } from "./template-functions.js";
import { bad, fieldOf } from "./template-values.js";

/** An action, parsed. */
export type Expression =
  | { readonly kind: "path"; readonly of: "." | Expression | Variable; readonly path: readonly string[] }
  | { readonly kind: "literal"; readonly value: string | number | boolean | undefined }
  | { readonly kind: "call"; readonly name: string; readonly args: readonly Expression[] };

interface Variable {
  readonly kind: "variable";
  /** "$" is the value that the template runs on. */
  readonly name: string;
}

/** A pipe and the variables that take its value: `$x := .a`, `$i, $v := .list`. */
export interface Declaration {
  readonly names: readonly string[];
  readonly expression: Expression;
}

/** Where an expression is evaluated. */
export interface Scope {
  readonly dot: unknown;
  /** Innermost last; `$` first. */
  readonly variables: ReadonlyMap<string, unknown>;
}

/** @throws KilnError invalid_argument `usage` */
export function parseDeclaration(source: string): Declaration {
  const match = /^\s*(\$\w+)(?:\s*,\s*(\$\w+))?\s*:?=\s*([\s\S]*)$/.exec(source);
  if (match === null) return { names: [], expression: parseExpression(source) };
  const [, first = "", second, rest = ""] = match;
  return { names: second === undefined ? [first] : [first, second], expression: parseExpression(rest) };
}

/** @throws KilnError invalid_argument `usage` */
function parseExpression(source: string): Expression {
  const text = source.trim();
  if (text === "") throw bad("an action is empty");
  const reader = new Reader(words(text));
  const expression = parsePipe(reader);
  if (reader.peek() !== undefined) throw bad("parentheses do not match");
  return expression;
}

const WORD = /"(?:[^"\\]|\\.)*"|`[^`]*`|\)(?:\.[\p{L}_][\p{L}\p{N}_-]*)*|[(|]|[^\s()|"`]+/gu;

/** Strings whole, parentheses on their own (a closing one with the fields taken of it), the rest at spaces. */
function words(text: string): string[] {
  const out: string[] = [];
  const left = text.replace(WORD, (word) => {
    out.push(word);
    return " ";
  });
  if (left.trim() !== "") throw bad(`"${text}" cannot be read`);
  return out;
}

class Reader {
  readonly #words: readonly string[];
  #at = 0;

  constructor(all: readonly string[]) {
    this.#words = all;
  }

  peek(): string | undefined {
    return this.#words[this.#at];
  }

  next(): string | undefined {
    return this.#words[this.#at++];
  }
}

/** Up to a closing parenthesis or the end. */
function parsePipe(reader: Reader): Expression {
  let piped = parseCommand(reader, undefined);
  while (reader.peek() === "|") {
    reader.next();
    piped = parseCommand(reader, piped);
  }
  return piped;
}

type Operand = Expression | string;

function parseCommand(reader: Reader, piped: Expression | undefined): Expression {
  const operands: Operand[] = [];
  for (;;) {
    const word = reader.peek();
    if (word === undefined || word === "|" || word.startsWith(")")) break;
    reader.next();
    operands.push(word === "(" ? parseParentheses(reader) : parseAtom(word));
  }
  const [first, ...others] = operands;
  if (first === undefined) throw bad(piped === undefined ? "an action is empty" : "a pipe has an empty part");
  if (typeof first === "string") return call(first, others.map(asExpression), piped);
  if (others.length > 0 || piped !== undefined) throw bad("a field takes no arguments");
  return first;
}

function parseParentheses(reader: Reader): Expression {
  const inner = parsePipe(reader);
  const end = reader.next();
  if (end?.startsWith(")") !== true) throw bad("parentheses do not match");
  return end === ")" ? inner : { kind: "path", of: inner, path: end.slice(2).split(".") };
}

function asExpression(operand: Operand): Expression {
  return typeof operand === "string" ? call(operand, [], undefined) : operand;
}

/** A literal or a path; a bare word is a function's name. */
function parseAtom(part: string): Operand {
  if (part.startsWith('"')) return { kind: "literal", value: parseString(part) };
  if (part.startsWith("`")) return { kind: "literal", value: part.slice(1, -1) };
  if (/^-?[0-9]+(\.[0-9]+)?$/.test(part)) return { kind: "literal", value: Number(part) };
  if (part === "true" || part === "false") return { kind: "literal", value: part === "true" };
  if (part === "nil") return { kind: "literal", value: undefined };
  if (part === ".") return { kind: "path", of: ".", path: [] };
  const match = /^(\$\w*)?((?:\.[\p{L}_][\p{L}\p{N}_-]*)*)$/u.exec(part);
  if (match === null) return part;
  const [, variable, path = ""] = match;
  const of = variable === undefined ? "." : ({ kind: "variable", name: variable } as const);
  return { kind: "path", of, path: path === "" ? [] : path.slice(1).split(".") };
}

function parseString(quoted: string): string {
  try {
    return JSON.parse(quoted) as string;
  } catch {
    throw bad(`${quoted} is no string`);
  }
}

function call(name: string, args: readonly Expression[], piped: Expression | undefined): Expression {
  const { pipedFirst } = findFunction(name, args.length + (piped === undefined ? 0 : 1));
  const last = piped === undefined ? [] : [piped];
  return { kind: "call", name, args: pipedFirst === true ? [...last, ...args] : [...args, ...last] };
}

/** @throws KilnError invalid_argument `usage` where a field or a variable is not there */
export function evaluate(expression: Expression, scope: Scope): unknown {
  if (expression.kind === "literal") return expression.value;
  if (expression.kind === "path") return fieldOf(rootOf(expression.of, scope), expression.path);
  const args = expression.args.map((arg) => evaluate(arg, scope));
  return findFunction(expression.name, args.length).run(...args);
}

function rootOf(of: "." | Expression | Variable, scope: Scope): unknown {
  if (of === ".") return scope.dot;
  if (of.kind !== "variable") return evaluate(of, scope);
  if (!scope.variables.has(of.name)) throw bad(`there is no variable ${of.name}`);
  return scope.variables.get(of.name);
}
