// Fails on a hand-written source file over 600 lines; warns from 350.

import { readFileSync } from "node:fs";
import { ROOT } from "./lib/paths.mjs";
import { main, SetupError } from "./lib/run.mjs";
import { listFiles } from "./lib/stamps.mjs";
import { say } from "./lib/step.mjs";

const STOP = 600;
const WARN = 350;
const PLACES = ["src", "test", "bench", "scripts", "agent", "docs/examples"];
const GENERATED = /(^|\/)(gen|target|node_modules)$/;

await main(() => {
  const isSource = (path) => /\.(ts|mjs|rs)$/.test(path);
  const files = listFiles(PLACES, isSource, (path) => GENERATED.test(path));
  const sizes = files.map((file) => ({ file, lines: countLines(file) }));
  for (const { file, lines } of sizes.filter(({ lines }) => lines > WARN && lines <= STOP)) {
    say(`    ${file} has ${lines} lines: is it still one concept?`);
  }
  const tooLong = sizes.filter(({ lines }) => lines > STOP);
  if (tooLong.length > 0) {
    throw new SetupError(
      tooLong.map(({ file, lines }) => `${file} has ${lines} lines; the stop is ${STOP}`).join("\n"),
    );
  }
});

function countLines(file) {
  return readFileSync(`${ROOT}/${file}`, "utf8").split("\n").length - 1;
}
