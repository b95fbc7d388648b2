// The shared libraries that programs of the host need.

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { planEnvironment } from "../../base/privileges.js";

const run = promisify(execFile);
const TIMEOUT_MS = 20_000;

/** By the loader itself: no other knows where it looks. */
export async function librariesOf(programs: readonly string[]): Promise<string[]> {
  const { stdout } = await run("ldd", [...programs], {
    timeout: TIMEOUT_MS,
    env: planEnvironment(),
    maxBuffer: 1 << 20,
  });
  const paths = [...stdout.matchAll(/(?:=> |^\s+)(\/\S+) \(0x/gm)].map((match) => match[1] ?? "");
  const plain = stdout.match(/=> not found/);
  if (plain !== null) throw new Error(`ldd: a library of ${programs[0]} is missing`);
  return [...new Set(paths)];
}
