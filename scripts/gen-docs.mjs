// npm run docs [-- --check]: writes the reference pages; --check only says which have drifted, and fails where one has.

import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { ensureCompiled, ensureNodeModules } from "./lib/build.mjs";
import { KILND_PAGE, kilndPage } from "./lib/kilnd-page.mjs";
import { withSetupLock } from "./lib/lock.mjs";
import { ROOT } from "./lib/paths.mjs";
import { main, run, SetupError } from "./lib/run.mjs";

await main(async () => {
  const { values } = parseArgs({ options: { check: { type: "boolean", default: false } } });
  await withSetupLock(async () => {
    await ensureNodeModules();
    await ensureCompiled();
  });
  // The command line's own pages: the CLI knows its table best.
  await run(process.execPath, [`${ROOT}/dist/src/cli/gen-docs.js`, ...(values.check ? ["--check"] : [])]);
  const page = await kilndPage();
  if (!values.check) writeFileSync(`${ROOT}/${KILND_PAGE}`, page);
  else if (readFileSync(`${ROOT}/${KILND_PAGE}`, "utf8") !== page) {
    throw new SetupError(`${KILND_PAGE} differs: run \`npm run docs\``);
  }
});
