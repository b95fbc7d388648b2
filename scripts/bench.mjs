// npm run bench [-- ROW... --save | --beside CHECKOUT]: set-up, then the table of SPECIFICATION.md, measured here and now.

import { ROOT } from "./lib/paths.mjs";
import { main, run } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";

await main(async () => {
  await setup({ tests: true, bench: true });
  await run(process.execPath, [`${ROOT}/dist/bench/main.js`, ...process.argv.slice(2)], { cwd: ROOT });
});
