// What may stand at the cursor: verbs, flags, values, names. Pure, apart from the names it is given a way to ask for.

import type { Command, Operand } from "./command.js";
import { completeMount, MOUNT_FORMS } from "./complete-mounts.js";
import type { Completion, Flag, FlagTable } from "./flags.js";
import { GLOBAL_FLAGS } from "./global-flags.js";
import type { NameKind, OfferedName } from "./offered-names.js";
import { FAMILIES, familyVerbs, findVerb, VERBS } from "./verbs.js";

/** One thing that may stand at the cursor. */
type Candidate = OfferedName;

/** What the shell is told. */
export interface CompletionAnswer {
  readonly candidates: readonly Candidate[];
  /** The shell adds file names of its own. */
  readonly files: boolean;
}

/** Names that only kilnd knows. `operands` are those before the cursor: an exec's VM may be among them. */
export type AskNames = (kind: NameKind, operands: readonly string[]) => Promise<readonly Candidate[]>;

/** Paths of this machine. */
export type AskPaths = (typed: string) => Promise<readonly Candidate[]>;

/** The same at one place of the command line. */
interface Ask {
  readonly names: (kind: NameKind) => ReturnType<AskNames>;
  readonly paths: AskPaths;
}

interface AskAll {
  readonly names: AskNames;
  readonly paths: AskPaths;
}

const NOTHING: CompletionAnswer = { candidates: [], files: false };

/** @param words after "kiln", the last one being typed (perhaps empty) */
export async function completeWords(
  words: readonly string[],
  askNames: AskNames,
  paths: AskPaths = async () => [],
): Promise<CompletionAnswer> {
  const askAll: AskAll = { names: askNames, paths };
  const before = words.slice(0, -1);
  const current = words.at(-1) ?? "";
  const first = skipGlobals(before);
  if (first === undefined) return NOTHING;
  const verbWords = before.slice(first);
  const found = findVerb(verbWords);
  const isFamily = verbWords.length === 1 && FAMILIES.includes(verbWords[0] ?? "");
  if (found === undefined || (isFamily && found.words === 1)) {
    const names = completeVerb(verbWords, current);
    if (found === undefined) return names;
    const own = await completeArguments(await found.verb.load(), [], current, askAll);
    return { candidates: [...names.candidates, ...own.candidates], files: own.files };
  }
  return completeArguments(await found.verb.load(), verbWords.slice(found.words), current, askAll);
}

/** Index of the verb, behind global flags and their values; undefined inside one of those. */
function skipGlobals(words: readonly string[]): number | undefined {
  let at = 0;
  while (words[at]?.startsWith("-") === true) {
    const takesValue = words[at] === "-H" || words[at] === "--host";
    if (takesValue && at + 1 >= words.length) return undefined;
    at += takesValue ? 2 : 1;
  }
  return at;
}

function completeVerb(before: readonly string[], current: string): CompletionAnswer {
  if (before.length === 0 && current.startsWith("-")) return answer(flagCandidates(GLOBAL_FLAGS), current);
  if (before.length === 0) return answer(topWords(), current);
  const [family = ""] = before;
  if (before.length > 1 || !FAMILIES.includes(family)) return NOTHING;
  const names = familyVerbs(family).map(({ name, verb }) => ({
    value: name.slice(family.length + 1),
    text: verb.summary,
  }));
  return answer(names, current);
}

function topWords(): Candidate[] {
  const words = new Map<string, string>(FAMILIES.map((family) => [family, `Verbs for ${family}`]));
  for (const { name, summary, hidden } of VERBS)
    if (hidden !== true && !name.includes(" ")) words.set(name, summary);
  return [...words].map(([value, text]) => ({ value, text }));
}

async function completeArguments(
  command: Command,
  before: readonly string[],
  current: string,
  { names, paths }: AskAll,
): Promise<CompletionAnswer> {
  const state = readArguments(command, before);
  const ask: Ask = { names: (kind) => names(kind, state.operands), paths };
  if (state.pending !== undefined) return completeValue(state.pending, current, "", ask);
  const assigned = /^(--[^=]+)=(.*)$/s.exec(current);
  if (assigned !== null && !state.flagsEnded) {
    const [, name = "", value = ""] = assigned;
    const flag = lookUp(command.flags, name.slice(2));
    return flag === undefined ? NOTHING : completeValue(flag, value, `${name}=`, ask);
  }
  if (current.startsWith("-") && !state.flagsEnded) return answer(flagCandidates(command.flags), current);
  const operand = operandAt(command.operands, state.operands.length);
  return operand === undefined ? NOTHING : completeOperand(operand, current, ask);
}

interface ArgumentState {
  /** Operands already there. */
  readonly operands: readonly string[];
  readonly flagsEnded: boolean;
  /** The flag whose value comes next. */
  readonly pending: Flag | undefined;
}

function readArguments(command: Command, words: readonly string[]): ArgumentState {
  const operands: string[] = [];
  let flagsEnded = false;
  let pending: Flag | undefined;
  for (const word of words) {
    if (pending !== undefined) pending = undefined;
    else if (word === "--" && !flagsEnded) flagsEnded = true;
    else if (word.startsWith("-") && word !== "-" && !flagsEnded)
      pending = flagNeedingValue(command.flags, word);
    else {
      operands.push(word);
      if (command.stopAtOperand === true) flagsEnded = true;
    }
  }
  return { operands, flagsEnded, pending };
}

/** The flag of "--name", or the last of "-itp", where its value is the next word. */
function flagNeedingValue(flags: FlagTable, word: string): Flag | undefined {
  if (word.startsWith("--")) {
    const flag = word.includes("=") ? undefined : lookUp(flags, word.slice(2));
    return flag?.kind === "boolean" ? undefined : flag;
  }
  for (const [index, letter] of [...word.slice(1)].entries()) {
    const flag = Object.values(flags).find(({ short }) => short === letter);
    if (flag === undefined) return undefined;
    if (flag.kind !== "boolean") return index === word.length - 2 ? flag : undefined;
  }
  return undefined;
}

function lookUp(flags: FlagTable, name: string): Flag | undefined {
  return Object.hasOwn(flags, name) ? flags[name] : undefined;
}

function operandAt(operands: readonly Operand[], index: number): Operand | undefined {
  const last = operands.at(-1);
  return operands[index] ?? (last?.name.includes("...") === true ? last : undefined);
}

async function completeValue(
  flag: Flag,
  current: string,
  prefix: string,
  ask: Ask,
): Promise<CompletionAnswer> {
  if (flag.kind === "boolean") return answer(choicesOf(["true", "false"], prefix), prefix + current);
  if (flag.choices !== undefined) return answer(choicesOf(flag.choices, prefix), prefix + current);
  return completeKind(flag.complete, current, prefix, ask);
}

function completeOperand(operand: Operand, current: string, ask: Ask): Promise<CompletionAnswer> {
  if (operand.choices !== undefined) return Promise.resolve(answer(choicesOf(operand.choices, ""), current));
  return completeKind(operand.complete, current, "", ask);
}

async function completeKind(
  kind: Completion | undefined,
  current: string,
  prefix: string,
  ask: Ask,
): Promise<CompletionAnswer> {
  if (kind === "file") return { candidates: [], files: true };
  if (kind === undefined || kind === "none") return NOTHING;
  const form = MOUNT_FORMS.find((known) => known === kind);
  const offered =
    form === undefined
      ? await ask.names(kind as NameKind)
      : await completeMount(form, current, { volumes: () => ask.names("volume"), paths: ask.paths });
  const names = offered.map(({ value, text }) => ({ value: prefix + value, text }));
  return answer(names, prefix + current);
}

function choicesOf(choices: readonly string[], prefix: string): Candidate[] {
  return choices.map((choice) => ({ value: prefix + choice, text: "" }));
}

function flagCandidates(flags: FlagTable): Candidate[] {
  const shown = Object.entries(flags).filter(([, flag]) => flag.hidden !== true);
  const names = shown.map(([name, flag]) => ({
    value: flag.kind === "boolean" && flag.fallback ? `--no-${name}` : `--${name}`,
    text: flag.help,
  }));
  return [...names, { value: "--help", text: "Print help" }];
}

function answer(candidates: readonly Candidate[], current: string): CompletionAnswer {
  return { candidates: candidates.filter(({ value }) => value.startsWith(current)), files: false };
}
