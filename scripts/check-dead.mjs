// Fails on what is exported for nobody: code that nothing uses any more, a value that only its own file needs, and a
// function in a room's door for which nobody enters; and on a name that is taken where nobody exports it. Types that say what an exported function takes may be exported.

import { readFileSync } from "node:fs";
import { deadExports, isUsedInside, missingExports } from "./lib/exports.mjs";
import { judge, NOT_YET } from "./lib/not-yet.mjs";
import { ROOT } from "./lib/paths.mjs";
import { main } from "./lib/run.mjs";
import { listFiles } from "./lib/stamps.mjs";

const PLACES = ["src", "test", "bench", "scripts", "docs/examples"];
/** What users of the package import, and what is generated whole. */
const FOR_OTHERS = /^src\/sdk\/index\.ts$|^src\/gen\//;

await main(() => {
  const files = listFiles(PLACES, (path) => /\.(ts|mjs)$/.test(path));
  const sources = new Map(files.map((file) => [file, readFileSync(`${ROOT}/${file}`, "utf8")]));
  const dead = deadExports(sources, (file) => FOR_OTHERS.test(file));
  const isDoor = (file) => file.endsWith("/index.ts");
  const idle = dead.filter(({ file, isType }) => isDoor(file) && !isType);
  const inside = dead.filter(({ file }) => !isDoor(file));
  const unused = inside.filter(({ file, name }) => !isUsedInside(sources.get(file), name));
  const needless = inside.filter((it) => !unused.includes(it) && !it.isType);
  judge(
    [
      ...missingExports(sources).map(({ file, name, of }) => ({
        key: file,
        text: `${file}: ${of} exports no ${name}`,
      })),
      ...unused.map(({ file, name }) => ({ key: file, text: `${file}: nobody uses ${name}` })),
      ...needless.map(({ file, name }) => ({
        key: file.split("/").slice(0, 2).join("/"),
        text: `${file}: exports ${name}, which only it uses`,
      })),
      ...idle.map(({ file, name }) => ({ key: file, text: `${file}: nobody enters for ${name}` })),
    ],
    [...NOT_YET.needlessExports, ...NOT_YET.idleDoors],
  );
});
