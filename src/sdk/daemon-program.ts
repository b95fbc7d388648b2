// Where kilnd is: in this very package. A client never starts a daemon of another version that PATH happens to hold.

import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Code, KilnError } from "../base/errors.js";

const PLACE = "dist/src/daemon/main.js";

/**
 * Path of kilnd's program: beside this file; where a bundler has moved this file, in the package `kilnvm` that the
 * program can still resolve.
 *
 * @param here URL of this module; undefined in a bundle of another module kind
 * @throws KilnError failed_precondition `daemon-not-found`
 */
export function daemonProgram(here: string | undefined = import.meta.url, from = process.cwd()): string {
  const beside = here ? fileURLToPath(new URL("../daemon/main.js", here)) : undefined;
  if (beside !== undefined && existsSync(beside)) return beside;
  for (const base of [beside === undefined ? undefined : dirname(beside), process.argv[1], join(from, "x")]) {
    const found = base === undefined ? undefined : resolvePackage(base);
    if (found !== undefined) return found;
  }
  throw new KilnError(Code.FailedPrecondition, "start kilnd: the package kilnvm is not installed here", {
    reason: "daemon-not-found",
    hint: "a bundle holds the client alone: install kilnvm beside it, or connect to a kilnd that runs, with { host }",
  });
}

function resolvePackage(base: string): string | undefined {
  try {
    const path = join(dirname(createRequire(base).resolve("kilnvm/package.json")), PLACE);
    return existsSync(path) ? path : undefined;
  } catch {
    return undefined; // no such package from there
  }
}
