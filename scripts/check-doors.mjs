// Fails on a name that a door gives to its users without a word about it.

import { readFileSync } from "node:fs";
import { ensureCompiled, ensureNodeModules } from "./lib/build.mjs";
import { undocumentedExports } from "./lib/doors.mjs";
import { withSetupLock } from "./lib/lock.mjs";
import { judge, NOT_YET } from "./lib/not-yet.mjs";
import { ROOT } from "./lib/paths.mjs";
import { main } from "./lib/run.mjs";

const DOORS = ["sdk", "engine", "api"];

await main(async () => {
  await withSetupLock(async () => {
    await ensureNodeModules();
    await ensureCompiled();
  });
  const read = (path) => readFileSync(`${ROOT}/${path}`, "utf8");
  const problems = DOORS.flatMap((door) =>
    undocumentedExports(`dist/src/${door}/index.d.ts`, read).map(({ name, file }) => ({
      key: door,
      text: `${name} leaves by the door of ${door} without a doc comment (${source(file)})`,
    })),
  );
  judge(problems, NOT_YET.doors);
});

function source(file) {
  return file.replace(/^dist\//, "").replace(/\.d\.ts$/, ".ts");
}
