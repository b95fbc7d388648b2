// Where this package's own files are: its version, the agent, the network guard. In a checkout they are where cargo
// puts them; installed, below libexec.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** dist/src/daemon/ is three below the package. */
const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const PLACES = ["libexec", "agent/target/release"];

export function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string };
  return version;
}

/** The guest kernel's configuration: in a checkout and installed it is at the same place. */
export function kernelFragments(): string {
  return join(ROOT, "kernel");
}

/** Where scripts/passt.mjs and set-up put passt; undefined where neither did. */
export function packagePasst(): string | undefined {
  const paths = ["libexec", ".build/passt"].map((place) => join(ROOT, place, "passt"));
  return paths.find((path) => existsSync(path));
}

/** The first place that has the file; the first of all where none has, so that errors name it. */
export function packageFile(name: string): string {
  const paths = PLACES.map((place) => join(ROOT, place, name));
  return paths.find((path) => existsSync(path)) ?? join(ROOT, PLACES.at(-1) ?? "", name);
}
