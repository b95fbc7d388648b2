// What a source exports and what of it others use, by name.

import { importedFile } from "./module-graph.mjs";

const DECLARED =
  /(?:^|\n)export (?:declare )?(?:abstract )?(?:async )?(function\*?|class|const|let|interface|type|enum|namespace) ([\w$]+)/g;
/** `export { a } from "./x.js";` and, without `from`, `export { a };` */
const LISTED = /(?:^|\n)export (type )?\{([^}]*)\}(?: from "([^"]+)")?/g;
const STAR = /(?:^|\n)export \*(?: as ([\w$]+))? from "([^"]+)"/g;
const NAMED = /(?:^|\n)import (?:type )?(?:[\w$]+, )?\{([^}]*)\} from "([^"]+)"/g;
const NAMESPACE = /(?:^|\n)import (?:type )?\* as [\w$]+ from "([^"]+)"/g;
/** `const { a } = await import("./x.js")`, `import("./x.js").A`, and those that take the whole module; scripts load
 * what is compiled by `${ROOT}/dist/src/x.js`. */
const LATE = /(?:\{([^{}]*)\} = await )?\bimport\(\s*["`]([^"`]+)["`]\s*\)(?:\.([\w$]+))?/g;

/** All names of a module, where somebody takes it whole. */
export const ALL = "*";

/**
 * @returns {{ name: string, original: string, from: string | undefined, isType: boolean }[]} `from`: the specifier of
 *   a name that is another module's; `name` ALL for `export *`
 */
export function exportsOf(text) {
  const found = [...text.matchAll(DECLARED)].map(([, kind, name]) => {
    return { name, original: name, from: undefined, isType: ["interface", "type"].includes(kind) };
  });
  for (const [, type, list, from] of text.matchAll(LISTED)) {
    for (const { original, name, isType } of names(list)) {
      found.push({ name, original, from, isType: isType || type !== undefined });
    }
  }
  for (const [, name = ALL, from] of text.matchAll(STAR)) {
    found.push({ name, original: ALL, from, isType: false });
  }
  return found.filter(
    ({ name }, at) => found.findIndex((other) => other.name === name) === at || name === ALL,
  );
}

/** @returns {{ name: string, from: string }[]} what a source takes of other modules; `name` may be ALL */
export function usesIn(text) {
  const found = [];
  const take = (list, from) => {
    for (const { original } of names(list)) found.push({ name: original, from });
  };
  for (const [, list, from] of text.matchAll(NAMED)) take(list, from);
  for (const [, from] of text.matchAll(NAMESPACE)) found.push({ name: ALL, from });
  for (const [, list, from, member] of text.matchAll(LATE)) {
    if (list !== undefined) take(list.replaceAll(":", " as "), from);
    else found.push({ name: member === "then" ? ALL : (member ?? ALL), from });
  }
  for (const { original, from } of exportsOf(text)) {
    if (from !== undefined) found.push({ name: original, from });
  }
  return found;
}

/**
 * Exports that no other file takes.
 *
 * @param {Map<string, string>} sources text by path
 * @param {(file: string) => boolean} isDoor true for a file whose names are for others than us
 * @returns {{ file: string, name: string, isType: boolean }[]}
 */
export function deadExports(sources, isDoor) {
  const used = new Map([...sources.keys()].map((file) => [file, new Set()]));
  for (const [file, text] of sources) {
    for (const { name, from } of usesIn(text)) used.get(importedFile(file, from))?.add(name);
  }
  const dead = [];
  for (const [file, text] of sources) {
    const taken = used.get(file);
    if (isDoor(file) || taken.has(ALL)) continue;
    for (const { name, isType } of exportsOf(text)) {
      if (name !== ALL && !taken.has(name)) dead.push({ file, name, isType });
    }
  }
  return dead;
}

/**
 * Names that a file takes of another which exports none such. The compiler finds them in TypeScript; nobody does in the
 * scripts, which load compiled files late and then fail on the machine that comes to that line.
 *
 * @param {Map<string, string>} sources text by path
 * @returns {{ file: string, name: string, of: string }[]}
 */
export function missingExports(sources) {
  const missing = [];
  for (const [file, text] of sources) {
    for (const { name, from } of usesIn(text)) {
      const of = importedFile(file, from);
      const source = sources.get(of);
      if (source === undefined || name === ALL) continue;
      const has = exportsOf(source);
      if (!has.some((it) => it.name === name || it.name === ALL)) missing.push({ file, name, of });
    }
  }
  return missing;
}

/** True where a file itself needs what it exports. */
export function isUsedInside(text, name) {
  return text.split(/[^\w$]+/).filter((word) => word === name).length > 1;
}

/** "a, type b as c" as pairs of what it is called there and here. */
function names(list) {
  const bare = list.replace(/\/\/.*$|\/\*.*?\*\//gm, "");
  const parts = bare.split(",").map((part) => part.trim());
  return parts.filter(Boolean).map((part) => {
    const [original, name = original] = part.replace(/^type /, "").split(/\s+as\s+/);
    return { original, name, isType: part.startsWith("type ") };
  });
}
