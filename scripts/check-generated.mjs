// Fails when src/gen is not what proto/ generates, or the front end's flags are not those of the table of verbs.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { ensureCompiled } from "./lib/build.mjs";
import { withSetupLock } from "./lib/lock.mjs";
import { ROOT } from "./lib/paths.mjs";
import { capture, main, run, SetupError } from "./lib/run.mjs";
import { listFiles } from "./lib/stamps.mjs";

const GENERATED = "src/gen";

await main(async () => {
  const temp = mkdtempSync(join(tmpdir(), "kiln-gen-"));
  try {
    const buf = capture(`${ROOT}/node_modules/.bin/buf`, ["generate", "-o", temp], { cwd: ROOT });
    if (buf.code !== 0) throw new SetupError(`buf generate failed:\n${buf.stderr}`);
    const fresh = contents(relative(ROOT, join(temp, GENERATED)));
    const kept = contents(GENERATED);
    const names = new Set([...fresh.keys(), ...kept.keys()]);
    const drifted = [...names].filter((name) => fresh.get(name) !== kept.get(name));
    if (drifted.length > 0) {
      throw new SetupError(`${GENERATED} is out of date; run \`npm run gen\`: ${drifted.join(", ")}`);
    }
  } finally {
    rmSync(temp, { recursive: true, force: true });
  }
  await withSetupLock(ensureCompiled);
  await run(process.execPath, [`${ROOT}/dist/src/cli/gen-front.js`, "--check"]);
});

/** Text by name below a directory. */
function contents(directory) {
  const files = listFiles([directory]);
  return new Map(files.map((file) => [relative(directory, file), readFileSync(join(ROOT, file), "utf8")]));
}
