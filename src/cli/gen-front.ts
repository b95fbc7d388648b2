#!/usr/bin/env node
// Writes the flags of `kiln exec` for its native front end (agent/front) from the table of verbs, or with --check fails
// where they differ from it: what a flag takes is said once, here in the CLI.

import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Flag, FlagTable } from "./flags.js";
import { GLOBAL_FLAGS } from "./global-flags.js";
import { command } from "./verbs/exec.js";

/** dist/src/cli/ is three below the checkout. */
const FILE = fileURLToPath(new URL("../../../agent/front/src/gen/flags.rs", import.meta.url));
const NOTE = "// Generated from the table of verbs by `npm run gen`. Do not edit.";

function renderTable(name: string, doc: string, flags: FlagTable): string {
  return [
    `/// ${doc}`,
    `pub const ${name}: &[Flag] = &[`,
    ...Object.entries(flags).map(([long, flag]) => `    ${renderFlag(long, flag)},`),
    "];",
  ].join("\n");
}

function renderFlag(name: string, flag: Flag): string {
  const short = flag.short === undefined ? "None" : `Some('${flag.short}')`;
  return `Flag { name: "${name}", short: ${short}, kind: Kind::${kindOf(name, flag)} }`;
}

/** The front end knows these three and must not guess at others. */
function kindOf(name: string, flag: Flag): string {
  if (flag.kind === "boolean") {
    if (flag.fallback) throw new Error(`--${name} is on by default: teach agent/front/src/flags.rs about it`);
    return "Switch";
  }
  if (flag.choices !== undefined) {
    throw new Error(`--${name} has choices: teach agent/front/src/flags.rs about them`);
  }
  return flag.kind === "list" ? "List" : "Text";
}

function render(): string {
  if (command.stopAtOperand !== true) throw new Error("exec: its flags no longer end at VM");
  const tables = [
    renderTable("GLOBAL", "Flags before the verb.", GLOBAL_FLAGS),
    renderTable("EXEC", "Flags of exec.", command.flags),
  ];
  return `${[NOTE, ...tables].join("\n\n")}\n`;
}

const text = render();
if (!process.argv.includes("--check")) await writeFile(FILE, text);
else if ((await readFile(FILE, "utf8").catch(() => "")) !== text) {
  process.stderr.write("agent/front/src/gen/flags.rs differs: run `npm run gen`\n");
  process.exitCode = 1;
}
