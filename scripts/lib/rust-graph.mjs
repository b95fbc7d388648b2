// Which module of a Rust crate names which, for the same circles as those of TypeScript. Reads paths, no Rust: `crate::`,
// `self::` and `super::` anywhere, and a module's own children by their names. Tests count for nothing.

import { posix } from "node:path";

const IDENT = "[a-z_][a-z0-9_]*";
const PATH = new RegExp(
  `(?<![\\w:])(crate|self|super(?:::super)*)::(${IDENT}(?:::${IDENT})*)?(?:::)?(\\{)?`,
  "g",
);
const RELATIVE = new RegExp(`(?<![\\w:])(${IDENT})::(${IDENT}(?:::${IDENT})*)`, "g");
const CHILD = new RegExp(`^\\s*(?:pub(?:\\([^)]*\\))? )?mod (${IDENT});`, "gm");

/**
 * The files that each file names, of those that are given. What lies beside no `main.rs` or `lib.rs` of a folder above
 * is nobody's module.
 *
 * @param {Map<string, string>} sources text by path: "agent/guest/src/machine/boot.rs"
 * @returns {Map<string, string[]>}
 */
export function rustGraph(sources) {
  const files = new Map([...sources].filter(([file]) => !/(^|\/)tests(\/|\.rs$)/.test(file)));
  const graph = new Map();
  for (const [file, text] of files) {
    const root = crateRoot(files, file);
    if (root === undefined) continue;
    const targets = new Set(namedPaths(root, file, withoutTests(text)).map((path) => fileOf(files, path)));
    graph.set(
      file,
      [...targets].filter((target) => target !== undefined && target !== file),
    );
  }
  return graph;
}

/** "agent/guest/src" of whatever lies below its main.rs. */
function crateRoot(files, file) {
  for (let folder = posix.dirname(file); folder !== "."; folder = posix.dirname(folder))
    if (files.has(`${folder}/main.rs`) || files.has(`${folder}/lib.rs`)) return folder;
  return undefined;
}

/** Modules as folders: "agent/guest/src/machine/boot", each with what may be an item of it at the end. */
function namedPaths(root, file, text) {
  const own = modulePath(file);
  const above = (supers) => supers.split("::").reduce((path) => posix.dirname(path), own);
  const found = [];
  for (const { 0: whole, 1: start, 2: path = "", 3: brace, index } of text.matchAll(PATH)) {
    const base = start === "crate" ? root : start === "self" ? own : above(start);
    const stem = posix.join(base, path.replaceAll("::", "/"));
    if (brace === undefined) found.push(stem);
    else for (const name of group(text, index + whole.length)) found.push(posix.join(stem, name));
  }
  // What a path may begin with: a child, or what was imported.
  const known = new Map(found.map((path) => [posix.basename(path), path]));
  for (const [, child] of text.matchAll(CHILD)) known.set(child, posix.join(own, child));
  for (const [, first, rest] of text.matchAll(RELATIVE))
    if (known.has(first)) found.push(posix.join(known.get(first), rest.replaceAll("::", "/")));
  return found;
}

/** The names in `{a, b::c, d::{e, f}}`, as paths; "self" is the group's own. */
function group(text, start) {
  const names = [];
  const stems = [""];
  let word = "";
  for (let at = start; at < text.length; at++) {
    const letter = text[at];
    if (letter === "{") {
      stems.push(posix.join(stems.at(-1), word.trim().replaceAll("::", "/")));
    } else if (letter === "," || letter === "}") {
      const name = word.trim().replace(/ as .*/, "");
      if (name !== "")
        names.push(posix.join(stems.at(-1), name === "self" ? "." : name.replaceAll("::", "/")));
      if (letter === "}" && stems.pop() === "" && stems.length === 0) return names;
    } else {
      word += letter;
      continue;
    }
    word = "";
  }
  return names;
}

/** The file of the longest module in a path: "machine/boot/boot" is boot.rs, with an item of it. */
function fileOf(files, path) {
  for (let module = path; module !== "."; module = posix.dirname(module))
    for (const file of [`${module}.rs`, `${module}/mod.rs`]) if (files.has(file)) return file;
  return undefined;
}

/** "…/machine" of machine/mod.rs, "…/machine/boot" of machine/boot.rs, the crate's folder of its main.rs. */
function modulePath(file) {
  return /\/(mod|main|lib)\.rs$/.test(file) ? posix.dirname(file) : file.replace(/\.rs$/, "");
}

/** Comments and `#[cfg(test)] mod tests { … }` left out: rustfmt puts the end of it at the margin. */
function withoutTests(text) {
  return text.replace(/^#\[cfg\(test\)\]\nmod \w+ \{\n[\s\S]*?^\}/gm, "").replace(/\/\/.*$/gm, "");
}
