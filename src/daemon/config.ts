// Where each setting's value comes from: flags, then the environment, then config.toml, then the default. The origin
// is kept, because "why is it so?" is the first question.

import { parse, type TomlTable } from "smol-toml";
import { Code, errnoOf, KilnError } from "../base/errors.js";
import { readPlainFile } from "../base/plain-file.js";
import { requireTrusted } from "../base/trusted-path.js";
import { flagOf, SETTINGS, type SettingName, variableOf } from "./settings-table.js";

const MAX_FILE = 1024 * 1024;

export type Origin = "flag" | "environment" | "file" | "default";

export interface Setting {
  /** As written; "" for a default that the host decides. */
  readonly value: string;
  readonly origin: Origin;
}

export type Config = ReadonlyMap<SettingName, Setting>;

export interface CommandLine {
  readonly flags: ReadonlyMap<SettingName, string>;
  readonly help: boolean;
  readonly version: boolean;
  /** --config. */
  readonly file: string | undefined;
}

const NAMES = new Map<string, SettingName>(SETTINGS.map(({ name }) => [flagOf(name), name]));

/** @throws KilnError invalid_argument `bad-flag` */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const flags = new Map<SettingName, string>();
  let help = false;
  let version = false;
  let file: string | undefined;
  const words = [...argv];
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    const cut = word.indexOf("=");
    const flag = cut < 0 ? word : word.slice(0, cut);
    if (flag === "--help" || flag === "-h") help = true;
    else if (flag === "--version") version = true;
    else {
      const name = NAMES.get(flag);
      if (name === undefined && flag !== "--config") throw badFlag(`there is no flag ${flag}`);
      const value = cut < 0 ? words.shift() : word.slice(cut + 1);
      if (value === undefined) throw badFlag(`${flag} needs a value`);
      if (name === undefined) file = value;
      else flags.set(name, value);
    }
  }
  return { flags, help, version, file };
}

/** Values of config.toml by setting. Pure. @throws KilnError invalid_argument `bad-config-file` */
export function parseConfigFile(text: string, path: string): Map<SettingName, string> {
  let table: TomlTable;
  try {
    table = parse(text);
  } catch (error) {
    throw badFile(path, error instanceof Error ? error.message : String(error));
  }
  const values = new Map<SettingName, string>();
  for (const [name, value] of flatten(table)) {
    const known = SETTINGS.find((setting) => setting.name === name);
    if (known === undefined) throw badFile(path, `there is no setting "${name}"`);
    const simple = typeof value === "string" || typeof value === "number" || typeof value === "boolean";
    if (!simple) throw badFile(path, `"${name}" is neither a text nor a number`);
    values.set(known.name, typeof value === "boolean" ? (value ? "yes" : "no") : String(value));
  }
  return values;
}

function* flatten(table: TomlTable, prefix = ""): Generator<[string, unknown]> {
  for (const [key, value] of Object.entries(table)) {
    if (isTable(value)) yield* flatten(value, `${prefix}${key}.`);
    else yield [prefix + key, value];
  }
}

function isTable(value: unknown): value is TomlTable {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** Merges the sources, each value checked and blamed on its source. Pure. */
export function mergeConfig(
  flags: ReadonlyMap<SettingName, string>,
  env: NodeJS.ProcessEnv,
  file: ReadonlyMap<SettingName, string>,
): Config {
  const config = new Map<SettingName, Setting>();
  for (const { name, check } of SETTINGS) {
    const setting = choose(flags.get(name), env[variableOf(name)], file.get(name));
    if (setting.origin !== "default") {
      try {
        check(setting.value);
      } catch (error) {
        throw KilnError.from(error, `setting ${name} (${describeOrigin(name, setting.origin)})`);
      }
    }
    config.set(name, setting);
  }
  return config;
}

function choose(flag: string | undefined, variable: string | undefined, file: string | undefined): Setting {
  if (flag !== undefined) return { value: flag, origin: "flag" };
  if (variable !== undefined && variable !== "") return { value: variable, origin: "environment" };
  if (file !== undefined) return { value: file, origin: "file" };
  return { value: "", origin: "default" };
}

function describeOrigin(name: SettingName, origin: Origin): string {
  if (origin === "flag") return flagOf(name);
  return origin === "environment" ? variableOf(name) : "config.toml";
}

/** Reads config.toml; nothing where there is none, unless it was named. */
export async function readConfigFile(path: string, named: boolean): Promise<Map<SettingName, string>> {
  try {
    // It names programs that kilnd runs.
    if (await requireTrusted(path)) return parseConfigFile(await readText(path), path);
    if (!named) return new Map();
    return parseConfigFile(await readText(path), path);
  } catch (error) {
    if (!named && errnoOf(error) === "ENOENT") return new Map();
    throw KilnError.from(error, `read ${path}`);
  }
}

const readText = async (path: string): Promise<string> =>
  (await readPlainFile(path, MAX_FILE)).toString("utf8");

export function helpText(): string {
  const rows = SETTINGS.map(
    ({ name, help, byDefault }) => `  ${flagOf(name).padEnd(26)}${help} (${byDefault})`,
  );
  return [
    "Usage: kilnd [flags]",
    "",
    "Runs microVMs for the kiln command, over a unix socket.",
    "",
    "Flags (each also as a variable KILN_..., and in config.toml):",
    ...rows,
    `  ${"--config FILE".padEnd(26)}configuration file (config.toml in the configuration directory)`,
    `  ${"--version".padEnd(26)}print the version`,
    `  ${"--help".padEnd(26)}print this`,
    "",
    "KILN_ROOT=DIR moves data, run directory, configuration and socket below DIR.",
    "",
  ].join("\n");
}

function badFlag(message: string): KilnError {
  return new KilnError(Code.InvalidArgument, message, { reason: "bad-flag", hint: "see `kilnd --help`" });
}

function badFile(path: string, why: string): KilnError {
  return new KilnError(Code.InvalidArgument, `${path}: ${why}`, {
    reason: "bad-config-file",
    hint: `settings: ${SETTINGS.map(({ name }) => name).join(", ")}`,
  });
}
