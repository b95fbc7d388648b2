// Fails when the package grows what it should not: runtime dependencies beyond ten, a licence that does not go with
// Apache-2.0, versions that are not pinned; or lacks what it should have: its own commands.

import { readFileSync } from "node:fs";
import { ROOT } from "./lib/paths.mjs";
import { main, SetupError } from "./lib/run.mjs";

const MAX_DEPENDENCIES = 10;
const LICENCES = /^\(?(Apache-2\.0|MIT|BSD-2-Clause|BSD-3-Clause|ISC|0BSD)\b/;

await main(() => {
  const problems = [
    ...checkDependencies(readJson("package.json")),
    ...checkLicences(readJson("package-lock.json")),
    ...checkCommands(readJson("package.json")),
  ];
  if (problems.length > 0) throw new SetupError(problems.join("\n"));
});

function checkDependencies({ license, dependencies = {} }) {
  const problems = [];
  if (license !== "Apache-2.0") problems.push(`package.json: the licence is ${license}`);
  const names = Object.keys(dependencies);
  if (names.length > MAX_DEPENDENCIES) {
    problems.push(`package.json: ${names.length} runtime dependencies; the stop is ${MAX_DEPENDENCIES}`);
  }
  for (const name of names) {
    if (!/^\d/.test(dependencies[name])) problems.push(`package.json: ${name} is not pinned to one version`);
  }
  return problems;
}

/** Of everything that is installed with the package, transitive ones included. */
function checkLicences({ packages }) {
  return Object.entries(packages)
    .filter(([path, entry]) => path !== "" && entry.dev !== true && entry.optional !== true)
    .filter(([, entry]) => !LICENCES.test(entry.license ?? ""))
    .map(([path, entry]) => `${path}: its licence is ${entry.license ?? "not given"}`);
}

/** A command that `files` leaves out is missing from what npm packs, and from nothing else. */
function checkCommands({ bin, files }) {
  return Object.entries(bin)
    .filter(([, path]) => !files.some((entry) => path === entry || path.startsWith(`${entry}/`)))
    .map(([name, path]) => `package.json: ${path} of the command ${name} is not among the files`);
}

function readJson(name) {
  return JSON.parse(readFileSync(`${ROOT}/${name}`, "utf8"));
}
