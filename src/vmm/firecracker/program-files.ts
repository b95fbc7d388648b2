// What Firecracker needs of the host's files: itself, which is one static file as released, and setpriv, which starts it
// in root's jail.

import { realpath } from "node:fs/promises";
import { join } from "node:path";
import { planEnvironment } from "../../base/privileges.js";
import { findProgram, versionText } from "../../base/programs.js";
import { librariesOf } from "../jail/libraries.js";
import { Trees } from "../jail/tree.js";

/** @param program its real path */
export function firecrackerTrees(program: string, cacheDirectory: string): Trees {
  return new Trees({
    // Of its own: a directory of trees keeps those of one program only.
    directory: join(cacheDirectory, "firecracker"),
    purpose: program,
    listFiles: () => listFirecrackerFiles(program),
    tryOut: async () => void (await versionText(program)),
  });
}

/** @param program its real path */
async function listFirecrackerFiles(program: string): Promise<string[]> {
  const setpriv = await findProgram("setpriv", planEnvironment().PATH);
  const others = setpriv === undefined ? [] : [await realpath(setpriv)];
  // ldd fails for a static program, and that is what a release of it is.
  const own = await librariesOf([program]).catch(() => []);
  return [...new Set([program, ...others, ...own, ...(await librariesOf(others))])].sort();
}
