import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { CHECKOUT } from "../../test/fixtures/assets.js";
import { GLOBAL_FLAGS } from "./global-flags.js";
import { VERBS } from "./verbs.js";

/** In a template, and in a string between quotes; comments may speak of what is to come. */
const NAMED = [/\\`kiln ([^`\\]+)\\`/g, /"[^"\n]*?(?<!\\)`kiln ([^`"\\]+)`/g];

/** The command lines that a source names to its users: "kill --signal TERM ${vm}". */
function namedIn(text: string): string[] {
  const code = text.replace(/^\s*(\/\/|\/?\*).*$/gm, "");
  return NAMED.flatMap((form) => [...code.matchAll(form)].map(([, line = ""]) => line));
}

async function missingOf(line: string): Promise<string[]> {
  const words = line.split(/\s+/);
  if (words[0]?.startsWith("-") === true) return [];
  const verb = [2, 1]
    .map((count) => words.slice(0, count).join(" "))
    .flatMap((said) => VERBS.filter(({ name, aliases = [] }) => [name, ...aliases].includes(said)))
    .at(0);
  if (verb === undefined) return [words[0] ?? ""];
  const flags = Object.keys({ ...(await verb.load()).flags, ...GLOBAL_FLAGS });
  const said = [...line.matchAll(/--([a-z][a-z-]*)/g)].map(([, flag = ""]) => flag);
  return said.filter((flag) => !flags.includes(flag)).map((flag) => `--${flag}`);
}

describe("the command lines that errors and hints name", () => {
  it("are all there: verbs and flags", async () => {
    const missing: string[] = [];
    let count = 0;
    for (const file of await readdir(join(CHECKOUT, "src"), { recursive: true })) {
      if (!/\.ts$/.test(file) || /\.test\.ts$|^(gen|cli)\//.test(file)) continue;
      for (const line of namedIn(await readFile(join(CHECKOUT, "src", file), "utf8"))) {
        count++;
        for (const what of await missingOf(line)) missing.push(`${file}: kiln ${line}: ${what}`);
      }
    }
    assert.deepEqual(missing, []);
    assert.ok(count > 50, `only ${count} were found`);
  });

  it("are found missing where nobody made them", async () => {
    const text = 'hint: "see `kiln flights x`"; hint: `\\`kiln logs --flight A web\\``';
    const lines = namedIn(text);
    assert.deepEqual(lines, ["logs --flight A web", "flights x"]);
    assert.deepEqual((await Promise.all(lines.map(missingOf))).flat(), ["--flight", "flights"]);
  });
});
