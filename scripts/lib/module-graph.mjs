// Which file imports which, and the circles in it. An import of types alone counts: who reads one file of a circle has
// to read them all.

import { posix } from "node:path";
import { relativeImports } from "./imports.mjs";

/**
 * The files that each file imports, of those that are given.
 *
 * @param {Map<string, string>} sources text by path, relative to the checkout: "src/kernel/cpio.ts"
 * @returns {Map<string, string[]>}
 */
export function moduleGraph(sources) {
  const graph = new Map();
  for (const [file, text] of sources) {
    const targets = new Set(relativeImports(text).map((specifier) => importedFile(file, specifier)));
    graph.set(
      file,
      [...targets].filter((target) => sources.has(target)),
    );
  }
  return graph;
}

// biome-ignore lint/suspicious/noTemplateCurlyInString: as it is written in a source
const COMPILED = "${ROOT}/dist/";

/**
 * "src/kernel/elf.ts" for "./elf.js" in "src/kernel/cpio.ts", and for "${ROOT}/dist/src/kernel/elf.js" in a script: what
 * runs is compiled, what is read is the source.
 */
export function importedFile(file, specifier) {
  if (specifier.startsWith(COMPILED)) return specifier.slice(COMPILED.length).replace(/\.js$/, ".ts");
  return posix.join(posix.dirname(file), specifier).replace(/\.js$/, ".ts");
}

/**
 * One way round for each knot: files that all reach one another are one knot, and one sentence.
 *
 * @param {Map<string, string[]>} graph
 * @returns {{ files: string[], way: string[] }[]} `files`: the whole knot, sorted; `way`: a shortest circle in it, its
 *   first file again at the end
 */
export function findCircles(graph) {
  return knots(graph).map((knot) => {
    const inside = new Set(knot);
    const ways = knot.map((file) => wayBack(graph, file, inside));
    return { files: knot, way: ways.reduce((best, way) => (way.length < best.length ? way : best)) };
  });
}

/**
 * What `npm run check` says of the circles, each under the room in which it lies: "src/net", or both rooms of two.
 *
 * @param {Map<string, string[]>} graph
 * @returns {{ key: string, text: string }[]}
 */
export function circleProblems(graph) {
  return findCircles(graph).map(({ files, way }) => ({
    key: [...new Set(files.map((file) => file.split("/").slice(0, 2).join("/")))].join(", "),
    text: `${files.length} files import one another in a circle: ${way.join(" -> ")}`,
  }));
}

/** Tarjan's strongly connected components, those of more than one file or with an arrow onto itself. */
function knots(graph) {
  const found = [];
  const index = new Map();
  const low = new Map();
  const open = [];
  const isOpen = new Set();
  const visit = (file) => {
    index.set(file, index.size);
    low.set(file, index.get(file));
    open.push(file);
    isOpen.add(file);
    for (const target of graph.get(file) ?? []) {
      if (!index.has(target)) visit(target);
      if (isOpen.has(target)) low.set(file, Math.min(low.get(file), low.get(target)));
    }
    if (low.get(file) !== index.get(file)) return;
    const knot = open.splice(open.indexOf(file));
    for (const member of knot) isOpen.delete(member);
    if (knot.length > 1 || graph.get(file)?.includes(file)) found.push(knot.sort());
  };
  for (const file of graph.keys()) if (!index.has(file)) visit(file);
  return found.sort((a, b) => (a[0] < b[0] ? -1 : 1));
}

function wayBack(graph, start, inside) {
  const cameFrom = new Map();
  const queue = [start];
  for (const file of queue) {
    for (const target of graph.get(file) ?? []) {
      if (target === start) return [...trail(cameFrom, start, file), start];
      if (!inside.has(target) || cameFrom.has(target)) continue;
      cameFrom.set(target, file);
      queue.push(target);
    }
  }
  throw new Error(`${start} is in no circle`);
}

function trail(cameFrom, start, end) {
  const files = [end];
  while (files[0] !== start) files.unshift(cameFrom.get(files[0]));
  return files;
}
