// Help texts from the table: `kiln --help`, `kiln image --help`, `kiln run --help`.

import type { Command } from "./command.js";
import type { Flag, FlagTable } from "./flags.js";
import { GLOBAL_FLAGS } from "./global-flags.js";
import type { Style } from "./render/style.js";
import { familyVerbs, VERBS, type Verb, type VerbGroup } from "./verbs.js";

const GROUPS: readonly VerbGroup[] = [...new Set(VERBS.map(({ group }) => group))];

const INTRO_EXAMPLES: readonly [string, string][] = [
  ["kiln run --rm -it alpine sh", "a shell in a VM that is gone afterwards"],
  ["kiln run -d --name web -p 8080:80 nginx", "a server on port 8080"],
  ["kiln exec web nginx -t", "another program in it"],
  ["kiln logs -f web", "follow its output"],
];

/** `kiln --help`. */
export function generalHelp(style: Style): string {
  const lines = [
    "Usage: kiln [FLAGS] VERB [...]",
    "",
    "Runs OCI images as microVMs.",
    "",
    style.bold("Examples:"),
  ];
  lines.push(...columns(INTRO_EXAMPLES.map(([line, does]) => [line, `# ${does}`])));
  for (const group of GROUPS) {
    const rows = VERBS.filter((verb) => verb.group === group && verb.hidden !== true);
    lines.push("", style.bold(`${group}:`), ...columns(rows.map(({ name, summary }) => [name, summary])));
  }
  lines.push("", style.bold("Flags:"), ...flagLines(GLOBAL_FLAGS));
  lines.push(
    "",
    "`kiln VERB --help` tells more of a verb; docs/guide/getting-started.md begins at the beginning.",
  );
  return `${lines.join("\n")}\n`;
}

/** `kiln image --help`. */
export function familyHelp(family: string, style: Style): string {
  const rows = familyVerbs(family).map(({ name, verb }) => [name, verb.summary] as const);
  const lines = [`Usage: kiln ${family} VERB [...]`, "", style.bold("Verbs:"), ...columns(rows)];
  return `${lines.join("\n")}\n`;
}

/** `kiln run --help`. */
export function verbHelp(verb: Verb, command: Command, style: Style): string {
  const lines = [`Usage: ${synopsis(verb.name, command)}`, "", command.description.trim()];
  const aliases = spellings(verb);
  if (aliases.length > 0) lines.push("", `${style.bold("Also:")} ${aliases.join(", ")}`);
  if (command.examples.length > 0) {
    lines.push("", style.bold("Examples:"));
    for (const { does, line } of command.examples) lines.push(`  # ${does}`, `  ${line}`);
  }
  const flags = flagLines(command.flags);
  if (flags.length > 0) lines.push("", style.bold("Flags:"), ...flags);
  return `${lines.join("\n")}\n`;
}

/** "kiln run [FLAGS] IMAGE [COMMAND] [ARG...]". */
export function synopsis(name: string, command: Pick<Command, "flags" | "operands">): string {
  const flags = Object.keys(command.flags).length > 0 ? ["[FLAGS]"] : [];
  return ["kiln", name, ...flags, ...command.operands.map((operand) => operand.name)].join(" ");
}

/** Other ways to write the verb. */
export function spellings(verb: Verb): string[] {
  return (verb.aliases ?? []).map((alias) => `kiln ${alias}`);
}

/** One line (or more) for each flag that is shown. */
function flagLines(flags: FlagTable): string[] {
  const rows = Object.entries(flags)
    .filter(([, flag]) => flag.hidden !== true)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, flag]) => [flagUsage(name, flag), flagText(flag)] as const);
  return columns(rows);
}

/** "-p, --publish PORT". */
export function flagUsage(name: string, flag: Flag): string {
  const short = flag.short === undefined ? "    " : `-${flag.short}, `;
  const shownName = flag.kind === "boolean" && flag.fallback ? `no-${name}` : name;
  return `${short}--${shownName}${flag.kind === "boolean" ? "" : ` ${flag.value}`}`;
}

/** Help with the choices and the default. */
export function flagText(flag: Flag): string {
  const parts = [flag.help];
  if (flag.kind !== "boolean" && flag.choices !== undefined) parts.push(`(${flag.choices.join("|")})`);
  if (flag.kind === "list") parts.push("(may be repeated)");
  if (flag.kind !== "boolean" && flag.fallback !== undefined) parts.push(`[default: ${flag.fallback}]`);
  return parts.join(" ");
}

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.min(36, Math.max(0, ...rows.map(([left]) => left.length)));
  return rows.map(([left, right]) =>
    left.length > width ? `  ${left}\n  ${" ".repeat(width)}  ${right}` : `  ${left.padEnd(width)}  ${right}`,
  );
}
