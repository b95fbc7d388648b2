// The rooms inside src/engine, from the ground up: each may import those before it, none a neighbour or one above.

import { relativeImports } from "./imports.mjs";
import { importedFile } from "./module-graph.mjs";

const FLOORS = [
  ["common"],
  ["host"],
  ["objects"],
  ["output"],
  ["vm"],
  ["disks"],
  ["images", "kernels"],
  ["volumes", "networks"],
  ["attach"],
  ["run"],
  ["workload"],
  ["pods"],
  ["system"],
  ["nouns"],
];

/**
 * What is wrong with the imports of one file inside src/engine. What lies in src/engine itself (its door, the engine
 * that joins the rooms) stands above all of them. A test may look wherever it likes.
 *
 * @param {string} file relative to the checkout: "src/engine/vm/entry.ts"
 * @returns {{ key: string, text: string }[]} one for each broken rule; `key`: "run -> system"
 */
export function checkEngineImports(file, text) {
  const room = roomOf(file);
  if (room === undefined || file.endsWith(".test.ts")) return [];
  const floor = floorOf(room);
  if (floor < 0) {
    return [
      { key: room, text: `${file}: ${room} is no room of the engine: give it a floor in engine-rooms.mjs` },
    ];
  }
  return relativeImports(text).flatMap((specifier) => {
    const target = importedFile(file, specifier);
    const other = roomOf(target) ?? target;
    if (!target.startsWith("src/engine/") || other === room) return [];
    const below = floorOf(other);
    if (below >= 0 && below < floor) return [];
    const text = `${file}: ${room} must not import ${other} (${specifier}), which is not below it`;
    return [{ key: `${room} -> ${other}`, text }];
  });
}

/** "vm" of "src/engine/vm/entry.ts"; undefined for what lies in src/engine itself, or elsewhere. */
function roomOf(file) {
  return /^src\/engine\/([^/]+)\//.exec(file)?.[1];
}

function floorOf(room) {
  return FLOORS.findIndex((rooms) => rooms.includes(room));
}
