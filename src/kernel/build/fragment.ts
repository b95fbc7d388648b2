// Kernel configuration fragments: read, laid over a base, and compared with what Kconfig made of them. Kconfig drops
// a line whose dependencies are not met without a word, so a fragment is only worth what survived.

import { Code, KilnError } from "../../base/errors.js";

/** One `CONFIG_NAME=value` of a fragment. */
export interface FragmentLine {
  readonly name: string;
  /** As in a .config; "n" for an option that is off. */
  readonly value: string;
  /** "common.config:12", for messages. */
  readonly place: string;
}

/** A line that Kconfig changed, and what it is now. */
export interface LostLine {
  readonly line: FragmentLine;
  /** undefined: the option is off or unknown. */
  readonly became: string | undefined;
}

const OPTION = /^(CONFIG_[A-Za-z0-9_]+)=(y|m|n|-?[0-9]+|0x[0-9a-fA-F]+|"[^"\\\n]*")$/;
const UNSET = /^# (CONFIG_[A-Za-z0-9_]+) is not set$/;

/**
 * Lines are `CONFIG_X=value`; empty lines and comments are passed over.
 *
 * @param file its name, for messages
 * @throws KilnError invalid_argument `bad-kernel-config`
 */
export function parseFragment(text: string, file: string): FragmentLine[] {
  const lines: FragmentLine[] = [];
  for (const [index, raw] of text.split("\n").entries()) {
    const line = raw.trim();
    const place = `${file}:${index + 1}`;
    if (line === "" || (line.startsWith("#") && !UNSET.test(line))) continue;
    const off = UNSET.exec(line)?.[1];
    const [, name = off, value = "n"] = OPTION.exec(line) ?? [];
    if (name === undefined) throw badConfig(place, `"${line.slice(0, 80)}" is no CONFIG_NAME=value`);
    lines.push({ name, value, place });
  }
  return lines;
}

/**
 * The lines of several fragments as one: a later fragment has the last word, as an architecture has about what all
 * share.
 *
 * @throws KilnError invalid_argument `bad-kernel-config` where one fragment sets an option twice
 */
export function joinFragments(fragments: readonly (readonly FragmentLine[])[]): FragmentLine[] {
  const joined = new Map<string, FragmentLine>();
  for (const lines of fragments) {
    const own = new Map<string, FragmentLine>();
    for (const line of lines) {
      const before = own.get(line.name);
      if (before !== undefined) throw badConfig(line.place, `${line.name} is set in ${before.place} already`);
      own.set(line.name, line);
      joined.set(line.name, line);
    }
  }
  return [...joined.values()];
}

/** The base configuration with the fragment's options in place of its own: what `make olddefconfig` then completes. */
export function mergeConfig(base: string, lines: readonly FragmentLine[]): string {
  const own = new Set(lines.map(({ name }) => name));
  const kept = base
    .trimEnd()
    .split("\n")
    .filter((line) => {
      const name = OPTION.exec(line)?.[1] ?? UNSET.exec(line)?.[1];
      return name === undefined || !own.has(name);
    });
  const added = lines.map(({ name, value }) => (value === "n" ? `# ${name} is not set` : `${name}=${value}`));
  return `${[...kept, ...added].join("\n")}\n`;
}

/** The fragment's lines that are not in the configuration as they were asked for. */
export function lostLines(lines: readonly FragmentLine[], config: string): LostLine[] {
  const options = new Map<string, string>();
  for (const line of config.split("\n")) {
    const [, name, value] = OPTION.exec(line) ?? [];
    if (name !== undefined && value !== undefined) options.set(name, value);
  }
  return lines
    .map((line): LostLine => ({ line, became: options.get(line.name) }))
    .filter(({ line, became }) => (became ?? "n") !== line.value);
}

/** @throws KilnError failed_precondition `kernel-config-lost`, naming every line */
export function requireSurvival(lines: readonly FragmentLine[], config: string, version: string): void {
  const lost = lostLines(lines, config);
  if (lost.length === 0) return;
  const named = lost.map(
    ({ line, became }) => `${line.place}: ${line.name}=${line.value} became ${became ?? "not set"}`,
  );
  throw new KilnError(
    Code.FailedPrecondition,
    `${lost.length} lines of the configuration did not survive olddefconfig of ${version}:\n${named.join("\n")}`,
    {
      reason: "kernel-config-lost",
      hint: "an option is gone, renamed, or needs another one that is off: see its Kconfig",
      details: { lines: named.join("; ").slice(0, 4096) },
    },
  );
}

function badConfig(place: string, why: string): KilnError {
  return new KilnError(Code.InvalidArgument, `the kernel configuration ${place}: ${why}`, {
    reason: "bad-kernel-config",
  });
}
