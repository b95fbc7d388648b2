// Fails on a hand-written source file or function that is too long, and where the middle one of all files is.

import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { functionSizes, isGroupOfTests } from "./lib/functions.mjs";
import { judge, NOT_YET } from "./lib/not-yet.mjs";
import { ROOT } from "./lib/paths.mjs";
import { main, SetupError } from "./lib/run.mjs";
import { listFiles } from "./lib/stamps.mjs";

const FILE_LINES = 350;
const FUNCTION_LINES = 60;
const MEDIAN_LINES = 100;
/** Also of what does not hold yet: nothing grows beyond. */
const STOP_LINES = 600;
const PLACES = ["src", "test", "bench", "scripts", "agent", "docs/examples"];
const GENERATED = /(^|\/)(gen|target|node_modules)$/;

await main(() => {
  const isSource = (path) => /\.(ts|mjs|rs)$/.test(path);
  const files = listFiles(PLACES, isSource, (path) => GENERATED.test(path));
  const sources = files.map((file) => ({ file, text: readFileSync(`${ROOT}/${file}`, "utf8") }));
  const sizes = sources.map(({ file, text }) => ({ file, lines: text.split("\n").length - 1 }));
  const median = medianOf(sizes.map(({ lines }) => lines));
  if (median > MEDIAN_LINES)
    throw new SetupError(`the median file has ${median} lines; the limit is ${MEDIAN_LINES}`);
  judge(
    [...sizes.flatMap(checkFile), ...sources.flatMap(checkFunctions)],
    [...NOT_YET.files, ...NOT_YET.functions],
  );
});

function checkFile({ file, lines }) {
  if (lines <= FILE_LINES) return [];
  const key = lines > STOP_LINES ? file : basename(file);
  return [{ key, text: `${file} has ${lines} lines; the limit is ${FILE_LINES}: is it still one concept?` }];
}

function checkFunctions({ file, text }) {
  return functionSizes(file, text)
    .filter(({ name, lines }) => lines > FUNCTION_LINES && !isGroupOfTests(name))
    .map(({ name, line, lines }) => ({
      key: `${basename(file)}: ${name}`,
      text: `${file}:${line}: ${name} has ${lines} lines; the limit is ${FUNCTION_LINES}`,
    }));
}

function medianOf(numbers) {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}
