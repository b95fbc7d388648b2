// `--change`: Dockerfile lines (docs: "Dockerfile reference") to the `config` object of an image config.

import { posix } from "node:path";
import { Code, KilnError } from "../../base/errors.js";
import { normalisePort } from "../config.js";
import { ImageReason } from "../reasons.js";
import { joinWords, splitWords, type Variables, WordError } from "./words.js";

/** The `config` object of an image config (image-spec, config.md), as far as changes can fill it. */
export interface RunFields {
  Env?: string[];
  Entrypoint?: string[];
  Cmd?: string[];
  WorkingDir?: string;
  User?: string;
  Labels?: Record<string, string>;
  ExposedPorts?: Record<string, Record<string, never>>;
  Volumes?: Record<string, Record<string, never>>;
  StopSignal?: string;
}

const MAX_CHANGES = 256;
const MAX_LINE = 65_536;
const SHELL = ["/bin/sh", "-c"];
const SIGNAL = /^(?:SIG)?[A-Z][A-Z0-9]{1,10}(?:[+-][0-9]{1,2})?$|^[1-9][0-9]?$/;

type Apply = (fields: RunFields, rest: string, variables: Variables) => void;

const INSTRUCTIONS: Readonly<Record<string, Apply>> = {
  CMD: (fields, rest) => {
    fields.Cmd = command(rest);
  },
  ENTRYPOINT: (fields, rest) => {
    fields.Entrypoint = command(rest);
  },
  ENV: (fields, rest, variables) => {
    fields.Env = applyEnv(fields.Env ?? [], pairs(rest, variables));
  },
  LABEL: (fields, rest, variables) => {
    fields.Labels = { ...fields.Labels, ...Object.fromEntries(pairs(rest, variables)) };
  },
  USER: (fields, rest, variables) => {
    fields.User = single(rest, variables);
  },
  WORKDIR: (fields, rest, variables) => {
    fields.WorkingDir = posix.resolve("/", fields.WorkingDir ?? "/", joinWords(rest, variables));
  },
  EXPOSE: (fields, rest, variables) => {
    fields.ExposedPorts = { ...fields.ExposedPorts, ...keySet(splitWords(rest, variables).map(port)) };
  },
  VOLUME: (fields, rest, variables) => {
    const paths = jsonList(rest) ?? splitWords(rest, variables);
    if (paths.some((path) => path.trim() === "")) throw new WordError("a volume needs a path");
    fields.Volumes = { ...fields.Volumes, ...keySet(paths) };
  },
  STOPSIGNAL: (fields, rest, variables) => {
    const signal = single(rest, variables);
    if (!SIGNAL.test(signal)) throw new WordError(`"${signal}" is no signal`);
    fields.StopSignal = signal;
  },
};

/**
 * Applies Dockerfile lines in order; a variable is what ENV lines before it have set.
 *
 * @throws KilnError invalid_argument `invalid-change`, naming the line
 */
export function applyChanges(changes: readonly string[]): RunFields {
  if (changes.length > MAX_CHANGES)
    throw invalid(`${changes.length} changes`, `at most ${MAX_CHANGES} are taken`);
  const fields: RunFields = {};
  for (const change of changes) applyChange(fields, change);
  return fields;
}

function applyChange(fields: RunFields, change: string): void {
  if (change.length > MAX_LINE || /[\0\n\r]/.test(change)) throw invalid(change, "it must be one line");
  const match = /^\s*([A-Za-z]+)(?:\s+(.*))?$/s.exec(change);
  const instruction = (match?.[1] ?? "").toUpperCase();
  const apply = Object.hasOwn(INSTRUCTIONS, instruction) ? INSTRUCTIONS[instruction] : undefined;
  if (apply === undefined) {
    throw invalid(change, `it does not begin with one of ${Object.keys(INSTRUCTIONS).join(", ")}`);
  }
  const rest = (match?.[2] ?? "").trim();
  if (rest === "") throw invalid(change, `${instruction} needs an argument`);
  try {
    apply(fields, rest, variablesOf(fields));
  } catch (error) {
    if (error instanceof WordError) throw invalid(change, error.message);
    throw error;
  }
}

/** Exec form (a JSON array) as it is, else the shell form. */
function command(rest: string): string[] {
  return jsonList(rest) ?? [...SHELL, rest];
}

/** A JSON array of strings; undefined for anything else, `[ -f x ] && y` included: that is a shell's. */
function jsonList(text: string): string[] | undefined {
  if (!text.startsWith("[")) return undefined;
  try {
    const json: unknown = JSON.parse(text);
    return Array.isArray(json) && json.every((item) => typeof item === "string") ? json : undefined;
  } catch {
    return undefined; // not JSON: the other form
  }
}

/** `A=1 B="two words"`, or the old `A the rest of the line`. */
function pairs(rest: string, variables: Variables): [string, string][] {
  const space = rest.search(/\s/);
  const first = space < 0 ? rest : rest.slice(0, space);
  if (!first.includes("=")) {
    if (space < 0) throw new WordError(`"${first}" has no value`);
    return [[checkedKey(joinWords(first, variables)), joinWords(rest.slice(space).trim(), variables)]];
  }
  return splitWords(rest, variables).map((word) => {
    const equals = word.indexOf("=");
    if (equals < 0) throw new WordError(`"${word}" is not NAME=VALUE`);
    return [checkedKey(word.slice(0, equals)), word.slice(equals + 1)];
  });
}

function checkedKey(key: string): string {
  if (key === "" || key === "__proto__") throw new WordError("a name is empty or not allowed");
  return key;
}

function single(rest: string, variables: Variables): string {
  const words = splitWords(rest, variables);
  const [word] = words;
  if (words.length !== 1 || word === undefined || word === "")
    throw new WordError("it takes exactly one argument");
  return word;
}

function port(word: string): string {
  const normal = normalisePort(word);
  if (normal === undefined) throw new WordError(`"${word}" is no port`);
  return normal;
}

function applyEnv(env: readonly string[], added: readonly [string, string][]): string[] {
  const all = new Map(variablesOf({ Env: [...env] }));
  for (const [name, value] of added) all.set(name, value);
  return [...all].map(([name, value]) => `${name}=${value}`);
}

function variablesOf(fields: RunFields): Map<string, string> {
  return new Map(
    (fields.Env ?? []).map((item) => {
      const equals = item.indexOf("=");
      return [item.slice(0, equals), item.slice(equals + 1)];
    }),
  );
}

function keySet(keys: readonly string[]): Record<string, Record<string, never>> {
  return Object.fromEntries(keys.map((key) => [key, {}]));
}

function invalid(change: string, why: string): KilnError {
  return new KilnError(Code.InvalidArgument, `change ${JSON.stringify(change.slice(0, 200))}: ${why}`, {
    reason: ImageReason.InvalidChange,
    hint: "write Dockerfile lines, for example 'CMD [\"nginx\"]' or 'ENV A=b'",
  });
}
