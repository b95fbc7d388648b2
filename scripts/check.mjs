// npm run check: everything that can be said about the code without running it. All checks run, also after one failed.

import { existsSync } from "node:fs";
import { ensureNodeModules } from "./lib/build.mjs";
import { withSetupLock } from "./lib/lock.mjs";
import { ROOT } from "./lib/paths.mjs";
import { findProgram, main, run } from "./lib/run.mjs";
import { say, step } from "./lib/step.mjs";

const BIN = `${ROOT}/node_modules/.bin`;
const script = (name, ...args) => [process.execPath, `${ROOT}/scripts/${name}.mjs`, ...args];
const cargo = (...args) => ({ argv: ["cargo", ...args], cwd: `${ROOT}/agent` });

const CHECKS = [
  { what: "format and lint", argv: [`${BIN}/biome`, "check", ROOT] },
  {
    what: "types",
    argv: [process.execPath, `${ROOT}/node_modules/typescript/bin/tsc`, "-p", ROOT, "--noEmit"],
  },
  { what: "arrows between rooms, circles", argv: script("check-boundaries") },
  { what: "sizes of files and functions", argv: script("check-sizes") },
  { what: "exports for nobody", argv: script("check-dead") },
  { what: "package and licences", argv: script("check-package") },
  { what: "protos", argv: script("check-protos") },
  { what: "generated code", argv: script("check-generated") },
  { what: "explained doors", argv: script("check-doors") },
  { what: "reference pages", argv: script("gen-docs", "--check") },
  { what: "Rust format", ...cargo("fmt", "--check"), when: hasCargo },
  {
    what: "Rust lint",
    ...cargo("clippy", "--quiet", "--locked", "--all-targets", "--", "-D", "warnings"),
    when: hasCargo,
  },
];

await main(async () => {
  await withSetupLock(ensureNodeModules);
  const failed = [];
  for (const { what, argv, cwd = ROOT, when = () => true } of CHECKS) {
    if (!when()) {
      say(`==> ${what}: skipped, what it needs is not here`);
      continue;
    }
    const [command, ...args] = argv;
    await step(what, () => run(command, args, { cwd })).catch((error) =>
      failed.push(`${what}: ${error.message}`),
    );
  }
  if (failed.length === 0) return 0;
  say(`\nfailed:\n${failed.map((line) => `  ${line}`).join("\n")}`);
  return 1;
});

function hasCargo() {
  return findProgram("cargo") !== undefined && existsSync(`${ROOT}/agent/Cargo.lock`);
}
