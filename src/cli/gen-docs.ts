#!/usr/bin/env node

// Writes docs/reference/cli/*.md from the table of verbs, or with --check fails where they differ from it.

import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { makeDirectory } from "../base/files.js";
import type { Command } from "./command.js";
import type { Flag, FlagTable } from "./flags.js";
import { GLOBAL_FLAGS } from "./global-flags.js";
import { flagText, flagUsage, spellings, synopsis } from "./help.js";
import { isVmVerb, VERBS, type Verb, type VerbGroup } from "./verbs.js";

/** dist/src/cli/ is three below the checkout. */
const DIRECTORY = fileURLToPath(new URL("../../../docs/reference/cli/", import.meta.url));
const NOTE = "<!-- Generated from the table of verbs by `npm run docs`. Do not edit. -->";

/** All pages, by file name. */
async function renderPages(): Promise<Map<string, string>> {
  const pages = new Map<string, string>();
  const shown = VERBS.filter((verb) => verb.hidden !== true);
  for (const verb of shown) pages.set(fileName(verb), renderVerb(verb, await verb.load()));
  pages.set("kiln.md", renderIndex(shown));
  return pages;
}

function fileName(verb: Verb): string {
  return `${verb.name.replace(" ", "-")}.md`;
}

function renderIndex(verbs: readonly Verb[]): string {
  const groups = [...new Set(verbs.map(({ group }): VerbGroup => group))];
  const lines = [NOTE, "# The kiln command", "", "```", "kiln [FLAGS] VERB [...]", "```", ""];
  for (const group of groups) {
    lines.push(`## ${group}`, "", "| verb | |", "|---|---|");
    for (const verb of verbs.filter((each) => each.group === group)) {
      lines.push(`| [${verb.name}](${fileName(verb)}) | ${escapeCell(verb.summary)} |`);
    }
    lines.push("");
  }
  lines.push("## Flags before the verb", "", ...flagTable(GLOBAL_FLAGS), "", ...EVERYWHERE);
  return lines.join("\n");
}

const EVERYWHERE = [
  "## Everywhere",
  "",
  "- **Exit codes.** `run`, `exec`, `attach` and `start -a`: the program's own; 128 + n where signal n ended it, 126 where",
  "  it cannot be executed, 127 where it is not found, 125 where kiln failed. All others: 0, 1 for failure (of any of",
  "  several targets), 2 for wrong usage.",
  "- **Output.** Data goes to stdout; progress, notes and errors to stderr. An error is `kiln: <what failed>: <why>` and one",
  "  `hint:` line; `--debug` adds code, reason and stack.",
  "- **`--format`** takes `json` (lists: one object a line) or a template of Go's kind: fields (`{{.Names}}`, any case),",
  "  variables, pipes, `if`, `with`, `range`, `json`, `join`, `split`, `index`, `printf`, `eq` and its like; lists also",
  "  `table TEMPLATE`. What else Go templates have is refused by name. The fields' names are API.",
  "- **Names.** A VM is its name, its id, or any prefix of the id that only it has. A program of `exec -d` likewise, in its VM.",
  "- **Environment.** `KILN_HOST` (`unix://PATH`) names the socket; `KILN_ROOT` moves data, run directory and socket;",
  "  `KILN_NODE` is the node to run, where it is not the one on PATH; `NO_COLOR`, `FORCE_COLOR` and `TERM=dumb` are",
  "  honoured.",
  "",
];

function renderVerb(verb: Verb, command: Command): string {
  const lines = [
    NOTE,
    `# kiln ${verb.name}`,
    "",
    `${verb.summary}.`,
    "",
    "```",
    synopsis(verb.name, command),
    "```",
    "",
  ];
  const others = [...(isVmVerb(verb) ? [`kiln vm ${verb.name}`] : []), ...spellings(verb)];
  if (others.length > 0) lines.push(`Also: ${others.map((name) => `\`${name}\``).join(", ")}`, "");
  lines.push(escapeText(command.description.trim()), "");
  if (Object.keys(command.flags).length > 0) lines.push("## Flags", "", ...flagTable(command.flags), "");
  if (command.examples.length > 0) {
    lines.push("## Examples", "", "```sh");
    for (const { does, line } of command.examples) lines.push(`# ${does}`, line);
    lines.push("```", "");
  }
  return lines.join("\n");
}

function flagTable(flags: FlagTable): string[] {
  const rows = Object.entries(flags)
    .filter(([, flag]: [string, Flag]) => flag.hidden !== true)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(
      ([name, flag]) =>
        `| \`${flagUsage(name, flag).trim().replaceAll("|", "\\|")}\` | ${escapeCell(flagText(flag))} |`,
    );
  return ["| flag | |", "|---|---|", ...rows];
}

function escapeCell(text: string): string {
  return escapeText(text).replaceAll("|", "\\|");
}

/** `<` outside of code would be taken for HTML. */
function escapeText(text: string): string {
  return text
    .split("`")
    .map((part, index) => (index % 2 === 0 ? part.replaceAll("<", "&lt;").replaceAll("*", "\\*") : part))
    .join("`");
}

async function write(pages: ReadonlyMap<string, string>): Promise<void> {
  await makeDirectory(DIRECTORY, 0o755);
  for (const name of await readdir(DIRECTORY)) if (!pages.has(name)) await rm(join(DIRECTORY, name));
  for (const [name, text] of pages) await writeFile(join(DIRECTORY, name), text);
}

/** Names of pages that are not as they should be, missing and left-over ones included. */
async function findDrift(pages: ReadonlyMap<string, string>): Promise<string[]> {
  const there = await readdir(DIRECTORY).catch((): string[] => []);
  const drifted = there.filter((name) => !pages.has(name));
  for (const [name, text] of pages) {
    const found = await readFile(join(DIRECTORY, name), "utf8").catch(() => "");
    if (found !== text) drifted.push(name);
  }
  return drifted;
}

const pages = await renderPages();
if (process.argv.includes("--check")) {
  const drifted = await findDrift(pages);
  for (const name of drifted)
    process.stderr.write(`docs/reference/cli/${name} differs: run \`npm run docs\`\n`);
  process.exitCode = drifted.length > 0 ? 1 : 0;
} else {
  await write(pages);
}
