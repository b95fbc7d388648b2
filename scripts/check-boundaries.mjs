// Fails on an import that runs against the arrows between rooms, or past another room's door; and on a circle.

import { readFileSync } from "node:fs";
import { checkEngineImports } from "./lib/engine-rooms.mjs";
import { checkImports } from "./lib/imports.mjs";
import { circleProblems, moduleGraph } from "./lib/module-graph.mjs";
import { judge, NOT_YET } from "./lib/not-yet.mjs";
import { ROOT } from "./lib/paths.mjs";
import { main, SetupError } from "./lib/run.mjs";
import { rustGraph } from "./lib/rust-graph.mjs";
import { listFiles } from "./lib/stamps.mjs";

await main(() => {
  const sources = read(["src", "test", "bench"], ".ts");
  const own = [...sources].filter(([file]) => file.startsWith("src/"));
  const problems = own.flatMap(([file, text]) => checkImports(file, text));
  if (problems.length > 0) throw new SetupError(problems.join("\n"));
  const arrows = own.flatMap(([file, text]) => checkEngineImports(file, text));
  const graphs = [moduleGraph(sources), rustGraph(read(["agent"], ".rs"))];
  const circles = graphs.flatMap(circleProblems);
  judge([...arrows, ...circles], [...NOT_YET.engineArrows, ...NOT_YET.circles]);
});

function read(places, ending) {
  const isGenerated = (path) => /^agent\/(.*\/)?(gen|target)$/.test(path);
  const files = listFiles(places, (path) => path.endsWith(ending), isGenerated);
  return new Map(files.map((file) => [file, readFileSync(`${ROOT}/${file}`, "utf8")]));
}
