// The arrows between rooms (docs/design): which room may import which, and that another room is entered by its door.

/**
 * base and gen have no door: every file of theirs may be imported. Everything else only by index.ts, or by types.ts
 * for types.
 */
const ARROWS = {
  base: [],
  gen: [],
  image: ["base"],
  disk: ["base"],
  kernel: ["base"],
  net: ["base"],
  vmm: ["base"],
  agent: ["base", "gen"],
  share: ["base"],
  engine: ["image", "disk", "kernel", "net", "vmm", "agent", "share", "base"],
  api: ["engine", "gen", "base"],
  cri: ["engine", "gen", "base"],
  daemon: ["api", "cri", "engine", "gen", "base"],
  sdk: ["gen", "base"],
  cli: ["sdk", "base"],
};
const WITHOUT_DOOR = ["base", "gen"];
/** Doors of parts of a room, for the base builder and `kiln ps`: a process that starts often must not load a whole room. */
const SIDE_DOORS = ["src/image/layers/index.js", "src/sdk/lists.js"];
/** The wire is the agent room's on one side and the API's on the other: what the engine says and hears is its own. */
const ENGINE = "src/engine/";
const WIRE = /^@(connectrpc|bufbuild)\//;
const IMPORT =
  /(?:^|\n)\s*(?:import|export)\s[^;]*?from\s*"([^"]+)"|\bimport\(\s*"([^"]+)"\s*\)|(?:^|\n)import\s*"([^"]+)"/g;

/** The relative imports in a source text. */
export function relativeImports(text) {
  return importsIn(text).filter((specifier) => specifier.startsWith("."));
}

function importsIn(text) {
  return [...text.matchAll(IMPORT)].map((match) => match[1] ?? match[2] ?? match[3] ?? "");
}

/**
 * What is wrong with the imports of one file.
 *
 * @param {string} file relative to the checkout: "src/kernel/cpio.ts"
 * @returns {string[]} one sentence per broken rule
 */
export function checkImports(file, text) {
  const room = roomOf(file);
  if (room === undefined) return [];
  const allowed = ARROWS[room];
  if (allowed === undefined) return [`${file}: ${room} is no room; a new one needs an ADR and an arrow here`];
  // A test may speak the wire itself, to be the peer of what it tests.
  const mayUseGen = isTest(file);
  const problems = wireProblems(file, text);
  for (const specifier of relativeImports(text)) {
    const target = resolveImport(file, specifier);
    const other = roomOf(target);
    if (other === room || (other === "gen" && mayUseGen)) continue;
    if (other === undefined) problems.push(...checkOutside(file, target));
    else if (!allowed.includes(other))
      problems.push(`${file}: ${room} must not import ${other} (${specifier})`);
    else if (!WITHOUT_DOOR.includes(other) && !isDoor(target)) {
      problems.push(`${file}: enter ${other} by its door (index.ts or types.ts), not by ${specifier}`);
    }
  }
  return problems;
}

function wireProblems(file, text) {
  if (!file.startsWith(ENGINE) || isTest(file)) return [];
  const wire = importsIn(text).filter((specifier) => WIRE.test(specifier));
  return wire.map((specifier) => `${file}: engine must not import ${specifier}: it knows no wire`);
}

function isDoor(target) {
  return /^src\/[^/]+\/(index|types)\.js$/.test(target) || SIDE_DOORS.includes(target);
}

/** Tests may use the shared fixtures; nothing in src/ may use test code otherwise. */
function checkOutside(file, target) {
  if (isTest(file) && target.startsWith("test/fixtures/")) return [];
  return [`${file}: imports ${target}, which is outside src/`];
}

function isTest(file) {
  return file.endsWith(".test.ts");
}

/** "kernel" of "src/kernel/cpio.ts"; undefined outside the rooms. */
function roomOf(file) {
  return /^src\/([^/]+)\//.exec(file)?.[1];
}

function resolveImport(file, specifier) {
  const parts = file.split("/").slice(0, -1);
  for (const part of specifier.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== ".") parts.push(part);
  }
  return parts.join("/");
}
