// npm run docs [-- --check]: the CLI's reference pages from its command table. --check fails when they have drifted.

import { ensureCompiled, ensureNodeModules } from "./lib/build.mjs";
import { withSetupLock } from "./lib/lock.mjs";
import { ROOT } from "./lib/paths.mjs";
import { main, run } from "./lib/run.mjs";

await main(async () => {
  await withSetupLock(async () => {
    await ensureNodeModules();
    await ensureCompiled();
  });
  await run(process.execPath, [`${ROOT}/dist/src/cli/gen-docs.js`, ...process.argv.slice(2)], { cwd: ROOT });
});
