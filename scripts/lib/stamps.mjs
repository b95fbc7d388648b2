// Knows whether a step has to be done again: a hash of its inputs' names, times and sizes, kept beside the outputs.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { PATHS, ROOT } from "./paths.mjs";

/** All files below the given files and directories (relative to the checkout) that `wanted` accepts. */
export function listFiles(places, wanted = () => true, skip = () => false) {
  const found = [];
  const visit = (path) => {
    const info = statSync(path, { throwIfNoEntry: false });
    if (info === undefined || skip(relative(ROOT, path))) return;
    if (info.isDirectory()) for (const name of readdirSync(path).sort()) visit(join(path, name));
    else if (wanted(path)) found.push(relative(ROOT, path));
  };
  for (const place of places) visit(join(ROOT, place));
  return found;
}

/** A hash that changes when one of the files, or the text, does. */
export function hashInputs(files, text = "") {
  const hash = createHash("sha256").update(text);
  for (const file of files) {
    const { mtimeMs, size } = statSync(join(ROOT, file));
    hash.update(`${file}\0${mtimeMs}\0${size}\n`);
  }
  return hash.digest("hex");
}

/** True where the step was done with these inputs and all its outputs are there. */
export function isFresh(name, hash, outputs = []) {
  const path = join(PATHS.stamps, name);
  return existsSync(path) && readFileSync(path, "utf8") === hash && outputs.every((path) => existsSync(path));
}

export function writeStamp(name, hash) {
  mkdirSync(PATHS.stamps, { recursive: true });
  writeFileSync(join(PATHS.stamps, name), hash);
}

export function removeStamp(name) {
  rmSync(join(PATHS.stamps, name), { force: true });
}
