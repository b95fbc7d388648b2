// Whether the names that a door gives to its users are explained: in the declarations, which are what an editor shows.

import { posix } from "node:path";
import { ALL, exportsOf } from "./exports.mjs";

/**
 * The names that a door exports without a word about them. Only what others wrote (a package's) is taken as it is.
 *
 * @param {string} door path of its declarations: "dist/src/sdk/index.d.ts"
 * @param {(path: string) => string} read text by path
 * @returns {{ name: string, file: string }[]} `file`: where it is declared
 */
export function undocumentedExports(door, read) {
  const text = read(door);
  return exportsOf(text).flatMap(({ name, original, from }) => {
    const source = from === undefined ? importOf(text, original) : { name: original, from };
    if (source === undefined) return isExplained(text, original) ? [] : [{ name, file: door }];
    if (!source.from.startsWith(".")) return [];
    const file = posix.join(posix.dirname(door), source.from.replace(/\.js$/, ".d.ts"));
    const inside = undocumentedExports(file, read);
    if (source.name === ALL) return inside;
    return inside.filter((other) => other.name === source.name).map((other) => ({ ...other, name }));
  });
}

/** Where a name that is exported comes from, if it was imported first. */
function importOf(text, name) {
  for (const [, list, from] of text.matchAll(/(?:^|\n)import (?:type )?\{([^}]*)\} from "([^"]+)"/g)) {
    for (const part of list.split(",")) {
      const [original, here = original] = part
        .trim()
        .replace(/^type /, "")
        .split(/\s+as\s+/);
      if (here === name) return { name: original, from };
    }
  }
  return undefined;
}

/** True where a doc comment stands right before the declaration, or before one of several with that name. */
function isExplained(text, name) {
  const lines = text.split("\n");
  const declaration = new RegExp(
    `^(?:export )?(?:declare )?(?:abstract )?(?:function|class|const|let|interface|type|enum|namespace) ${name.replaceAll("$", "\\$")}(?![\\w$])`,
  );
  return lines.some((line, at) => declaration.test(line) && lines[at - 1]?.trimEnd().endsWith("*/"));
}
