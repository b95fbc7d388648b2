// npm run docs [-- --check]: writes the reference pages; --check only says which have drifted, and fails where one has.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { parseArgs } from "node:util";
import { ensureCompiled, ensureNodeModules } from "./lib/build.mjs";
import { withSetupLock } from "./lib/lock.mjs";
import { ROOT } from "./lib/paths.mjs";
import { referencePages } from "./lib/reference-pages.mjs";
import { main, SetupError } from "./lib/run.mjs";

const PAGES = "docs/reference/cli";

await main(async () => {
  const { values } = parseArgs({ options: { check: { type: "boolean", default: false } } });
  await withSetupLock(async () => {
    await ensureNodeModules();
    await ensureCompiled();
  });
  const pages = await referencePages();
  const drifted = [...pages].filter(([path, text]) => read(path) !== text).map(([path]) => path);
  const orphans = listPages().filter((path) => !pages.has(path));
  if (values.check) {
    if (drifted.length + orphans.length === 0) return;
    throw new SetupError(`run \`npm run docs\`; these have drifted: ${[...drifted, ...orphans].join(", ")}`);
  }
  for (const path of orphans) rmSync(`${ROOT}/${path}`);
  for (const path of drifted) {
    mkdirSync(dirname(`${ROOT}/${path}`), { recursive: true });
    writeFileSync(`${ROOT}/${path}`, pages.get(path) ?? "");
  }
});

function read(path) {
  return existsSync(`${ROOT}/${path}`) ? readFileSync(`${ROOT}/${path}`, "utf8") : undefined;
}

/** Pages of verbs that are no more are drift too. */
function listPages() {
  if (!existsSync(`${ROOT}/${PAGES}`)) return [];
  return readdirSync(`${ROOT}/${PAGES}`).map((name) => `${PAGES}/${name}`);
}
