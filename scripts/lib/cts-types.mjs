// Types of the SDK for CommonJS programs. They load it by require(), which Node 20.19 can do for an ES module; TypeScript
// under "module": "node16" wants declarations of their own kind for that, which name the same types.

import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** Writes index.d.cts beside the SDK's index.d.ts. */
export function writeCommonJsTypes(index) {
  writeFileSync(index.replace(/\.d\.ts$/, ".d.cts"), planCommonJsTypes(index));
}

/** @returns {string} the text of index.d.cts */
function planCommonJsTypes(index, read = (path) => readFileSync(path, "utf8")) {
  const lines = ['import type * as sdk from "./index.js" with { "resolution-mode": "import" };'];
  for (const { name, from, isType } of exportsOf(read(index))) {
    const parameters = parametersOf(read(join(dirname(index), from.replace(/\.js$/, ".d.ts"))), name);
    if (parameters !== undefined) lines.push(`export type ${name}${parameters} = sdk.${name}${parameters};`);
    if (!isType) lines.push(`export declare const ${name}: typeof sdk.${name};`);
  }
  return `${lines.join("\n")}\n`;
}

function exportsOf(text) {
  return [...text.matchAll(/^export (type )?\{([^}]*)\} from "([^"]+)";/gm)].flatMap(
    ([, type, names, from]) =>
      names
        .split(",")
        .map((name) => name.trim())
        .filter((name) => name !== "")
        .map((name) => ({ name, from, isType: type !== undefined })),
  );
}

/** "<T>" of a generic type, "" of a plain one, undefined of what is no type. */
function parametersOf(text, name) {
  const found = new RegExp(
    `^export (?:declare )?(?:abstract )?(?:class|interface|type) ${name}\\b(<[^>]*>)?`,
    "m",
  ).exec(text);
  return found === null ? undefined : (found[1] ?? "");
}
