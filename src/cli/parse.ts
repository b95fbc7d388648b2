// Arguments to flags and operands, as Docker's parser takes them: `-it`, `-eA=b`, `-e=A=b`, `-p8080:80`,
// `--flag value`, `--flag=value`, `--no-flag`, `--`. node:util splits; what a flag is comes from the command.

import { parseArgs } from "node:util";
import { defined } from "../base/defined.js";
import { nearest } from "../base/suggest.js";
import type { Command, ParsedInput } from "./command.js";
import type { BooleanFlag, Flag, FlagTable, ValueFlag } from "./flags.js";
import { usageError } from "./usage-error.js";

/** Explains a flag that another tool has and kiln has not; undefined for one nobody knows. */
export type ExplainFlag = (name: string) => string | undefined;

interface OptionToken {
  readonly kind: "option";
  readonly name: string;
  readonly rawName: string;
  readonly index: number;
  readonly value: string | undefined;
  readonly inlineValue: boolean | undefined;
}

/**
 * @param verb for messages: "image ls"
 * @throws KilnError invalid_argument `usage`
 */
export function parseCommandLine(
  verb: string,
  command: Pick<Command, "flags" | "operands" | "stopAtOperand">,
  args: readonly string[],
  explain: ExplainFlag = () => undefined,
): ParsedInput {
  const values = new Map<string, boolean | string | string[]>();
  const operands: string[] = [];
  for (const token of tokenize(command.flags, args)) {
    if (token.kind === "option") {
      takeOption(verb, command.flags, token, values, explain);
    } else if (token.kind === "positional") {
      if (command.stopAtOperand === true) {
        operands.push(...args.slice(token.index));
        break;
      }
      operands.push(token.value);
    }
  }
  checkOperands(verb, command.operands, operands);
  return { flags: withFallbacks(command.flags, values), operands };
}

type Token =
  | OptionToken
  | { kind: "positional"; index: number; value: string }
  | { kind: "option-terminator" };

function tokenize(flags: FlagTable, args: readonly string[]): readonly Token[] {
  const options: Record<string, { type: "boolean" | "string"; short?: string; multiple: boolean }> = {};
  for (const [name, flag] of Object.entries(flags)) {
    const type: "boolean" | "string" = flag.kind === "boolean" ? "boolean" : "string";
    options[name] = defined({ type, multiple: true, short: flag.short });
  }
  const parsed = parseArgs({ args: [...args], options, strict: false, allowPositionals: true, tokens: true });
  return parsed.tokens as readonly Token[];
}

function takeOption(
  verb: string,
  flags: FlagTable,
  token: OptionToken,
  values: Map<string, boolean | string | string[]>,
  explain: ExplainFlag,
): void {
  const flag = Object.hasOwn(flags, token.name) ? flags[token.name] : undefined;
  if (flag === undefined) {
    const negated = negatedFlag(flags, token);
    if (negated === undefined) throw unknownFlag(verb, flags, token, explain);
    values.set(negated, false);
    return;
  }
  if (flag.kind === "boolean") values.set(token.name, booleanOf(verb, flag, token));
  else if (flag.kind === "string") values.set(token.name, valueText(verb, flag, token));
  else {
    const before = values.get(token.name);
    values.set(token.name, [...(Array.isArray(before) ? before : []), valueText(verb, flag, token)]);
  }
}

/** `--no-sig-proxy` of a switch that is on by default. */
function negatedFlag(flags: FlagTable, token: OptionToken): string | undefined {
  const name = /^no-(.+)$/.exec(token.name)?.[1];
  const flag = name !== undefined && Object.hasOwn(flags, name) ? flags[name] : undefined;
  return flag?.kind === "boolean" && flag.fallback && token.value === undefined ? name : undefined;
}

function booleanOf(verb: string, _flag: BooleanFlag, token: OptionToken): boolean {
  if (token.value === undefined) return true;
  const word = token.value.toLowerCase();
  if (["true", "1", "t"].includes(word)) return true;
  if (["false", "0", "f"].includes(word)) return false;
  throw usageError(verb, `${token.rawName} takes true or false, not "${token.value}"`);
}

function valueText(verb: string, flag: ValueFlag, token: OptionToken): string {
  if (token.value === undefined) throw usageError(verb, `${token.rawName} needs a value: ${flag.value}`);
  // pflag takes "-e=A" as "-e A"; node:util leaves the sign in.
  const inline = token.inlineValue === true && !token.rawName.startsWith("--");
  const value = inline ? token.value.replace(/^=/, "") : token.value;
  checkChoice(verb, token.rawName, flag.choices, value, flag.why);
  return value;
}

function checkChoice(
  verb: string,
  what: string,
  choices: readonly string[] | undefined,
  value: string,
  why?: string,
): void {
  if (choices === undefined || choices.includes(value)) return;
  const meant = nearest(value, choices);
  throw usageError(
    verb,
    `${what} takes one of ${choices.join(", ")}, not "${value}"`,
    meant === undefined ? why : `did you mean ${meant}?`,
  );
}

function unknownFlag(verb: string, flags: FlagTable, token: OptionToken, explain: ExplainFlag): Error {
  const reason = explain(token.rawName.startsWith("--") ? token.name : token.rawName);
  const where = verb === "" ? "kiln" : verb;
  if (reason !== undefined) return usageError(verb, `${where} has no ${token.rawName}: ${reason}`);
  const meant = token.rawName.startsWith("--") ? nearest(token.name, shownNames(flags)) : undefined;
  return usageError(
    verb,
    `${where} has no flag ${token.rawName}`,
    meant === undefined ? undefined : `did you mean --${meant}?`,
  );
}

function shownNames(flags: FlagTable): string[] {
  return Object.entries(flags)
    .filter(([, flag]: [string, Flag]) => flag.hidden !== true)
    .map(([name]) => name);
}

function checkOperands(verb: string, expected: Command["operands"], operands: readonly string[]): void {
  const least = expected.filter(({ name }) => !name.startsWith("[")).length;
  const most = expected.some(({ name }) => name.includes("...")) ? Number.POSITIVE_INFINITY : expected.length;
  const where = verb === "" ? "kiln" : verb;
  if (operands.length < least) {
    const missing = expected[operands.length]?.name.replace("...", "") ?? "an operand";
    throw usageError(verb, `${where}: ${missing} is missing`);
  }
  if (operands.length > most) throw usageError(verb, `${where}: what to do with "${operands[most]}"?`);
  for (const [index, operand] of operands.entries())
    checkChoice(verb, expected[index]?.name ?? "", expected[index]?.choices, operand);
}

function withFallbacks(flags: FlagTable, values: ReadonlyMap<string, unknown>): ParsedInput["flags"] {
  const out: Record<string, boolean | string | readonly string[] | undefined> = {};
  for (const [name, flag] of Object.entries(flags)) {
    const empty = flag.kind === "list" ? [] : flag.kind === "boolean" ? flag.fallback : undefined;
    out[name] = (values.get(name) as boolean | string | string[] | undefined) ?? empty;
  }
  return out;
}
