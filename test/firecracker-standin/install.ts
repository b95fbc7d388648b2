// Makes the stand-in a program: `firecracker` in a directory of the test's.

import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** @returns its path */
export async function installStandin(directory: string): Promise<string> {
  const main = fileURLToPath(new URL("main.js", import.meta.url));
  const path = join(directory, "firecracker");
  // Node's own path: the driver gives its VMM a PATH of its own.
  await writeFile(path, `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`);
  await chmod(path, 0o755);
  return path;
}
