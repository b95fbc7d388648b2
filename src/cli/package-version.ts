// The version of this package, read from its package.json.

import { readFileSync } from "node:fs";

/** "0.1.0"; "unknown" where the file is not where the package has it. */
export function packageVersion(): string {
  try {
    // dist/src/cli/ to the package's root.
    const path = new URL("../../../package.json", import.meta.url);
    const { version } = JSON.parse(readFileSync(path, "utf8")) as { version?: string };
    return version ?? "unknown";
  } catch {
    return "unknown"; // the number is for people: no verb may fail for want of it
  }
}
