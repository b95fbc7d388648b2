// Programs of the host: where they are, which version they say they are.

import { execFile } from "node:child_process";
import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const VERSION_TIMEOUT_MS = 10_000;

/** The first such executable in PATH (or the path itself, where `name` holds a slash); undefined where there is none. */
export async function findProgram(name: string, path = process.env.PATH ?? ""): Promise<string | undefined> {
  return (await findPrograms(name, path))[0];
}

/** All such executables, in PATH's order. */
export async function findPrograms(name: string, path = process.env.PATH ?? ""): Promise<string[]> {
  const candidates = name.includes("/")
    ? [name]
    : [...path.split(delimiter), "/usr/sbin", "/sbin"]
        .filter((dir) => dir !== "")
        .map((dir) => join(dir, name));
  const found: string[] = [];
  for (const candidate of candidates) {
    if (await isExecutable(candidate)) found.push(candidate);
  }
  return found;
}

/** What `program --version` prints. */
export async function versionText(program: string): Promise<string> {
  const { stdout } = await run(program, ["--version"], { timeout: VERSION_TIMEOUT_MS, maxBuffer: 64 * 1024 });
  return stdout;
}

/** True where a dotted version is not older than the other: atLeast("1.16.1", "1.8"). Suffixes do not count. */
export function atLeast(version: string, least: string): boolean {
  const [have, want] = [version, least].map((text) =>
    text.split(/[.-]/).map((part) => Number.parseInt(part, 10) || 0),
  );
  for (let index = 0; index < (want?.length ?? 0); index++) {
    const difference = (have?.[index] ?? 0) - (want?.[index] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
