#!/usr/bin/env node
// Writes the flags of `kiln exec` and `kiln run` for their native front end (agent/front) from the table of verbs, or
// with --check fails where they differ from it: what a flag takes is said once, here in the CLI.

import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Flag, FlagTable } from "./flags.js";
import { GLOBAL_FLAGS } from "./global-flags.js";
import { command as exec } from "./verbs/exec.js";
import { command as run } from "./verbs/run.js";

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
  const choices = flag.kind === "boolean" ? [] : (flag.choices ?? []);
  const words = choices.map((word) => `"${word}"`).join(", ");
  return `Flag { name: "${name}", short: ${short}, kind: Kind::${kindOf(flag)}, choices: &[${words}] }`;
}

function kindOf(flag: Flag): string {
  if (flag.kind === "boolean") return flag.fallback ? "On" : "Switch";
  return flag.kind === "list" ? "List" : "Text";
}

function render(): string {
  const verbs = { exec, run };
  for (const [name, { stopAtOperand }] of Object.entries(verbs)) {
    if (stopAtOperand !== true) throw new Error(`${name}: its flags no longer end at its first operand`);
  }
  const tables = [
    renderTable("GLOBAL", "Flags before the verb.", GLOBAL_FLAGS),
    ...Object.entries(verbs).map(([name, { flags }]) =>
      renderTable(name.toUpperCase(), `Flags of ${name}.`, flags),
    ),
  ];
  return `${[NOTE, ...tables].join("\n\n")}\n`;
}

const text = render();
if (!process.argv.includes("--check")) await writeFile(FILE, text);
else if ((await readFile(FILE, "utf8").catch(() => "")) !== text) {
  process.stderr.write("agent/front/src/gen/flags.rs differs: run `npm run gen`\n");
  process.exitCode = 1;
}
