// node scripts/passt.mjs [DIRECTORY]: builds passt for the user network where the host's own is too old. Without a
// directory it goes where kilnd of this package looks first.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildPasst } from "./lib/passt.mjs";
import { ROOT } from "./lib/paths.mjs";
import { findProgram, main, SetupError } from "./lib/run.mjs";
import { say, step } from "./lib/step.mjs";

/** Of its package: what it brings. */
const PROGRAMS = { gcc: "gcc libc6-dev", make: "make", patch: "patch", xz: "xz-utils" };

await main(async () => {
  const directory = process.argv[2] ?? join(ROOT, "libexec");
  const missing = Object.keys(PROGRAMS).filter((name) => findProgram(name) === undefined);
  if (missing.length > 0) {
    const packages = missing.map((name) => PROGRAMS[name]).join(" ");
    throw new SetupError(
      `Some programs are missing:\n\n  sudo apt-get install --no-install-recommends ${packages}\n`,
    );
  }
  const sources = mkdtempSync(join(tmpdir(), "kiln-passt-src-"));
  try {
    await step("build passt", () => buildPasst(directory, sources));
  } finally {
    rmSync(sources, { recursive: true, force: true });
  }
  say(`passt and pasta are in ${directory}`);
});
