// Fails on an import that runs against the arrows between rooms, or past another room's door.

import { readFileSync } from "node:fs";
import { checkImports } from "./lib/imports.mjs";
import { ROOT } from "./lib/paths.mjs";
import { main, SetupError } from "./lib/run.mjs";
import { listFiles } from "./lib/stamps.mjs";

await main(() => {
  const files = listFiles(["src"], (path) => path.endsWith(".ts"));
  const problems = files.flatMap((file) => checkImports(file, readFileSync(`${ROOT}/${file}`, "utf8")));
  if (problems.length > 0) throw new SetupError(problems.join("\n"));
});
