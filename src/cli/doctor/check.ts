// One finding about the host, and the small questions that findings are made of.

import { execFile } from "node:child_process";
import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";

/** ok: as needed. warning: kiln works, but worse or without something. error: kiln cannot work. */
export type Verdict = "ok" | "warning" | "error";

/** What one check found. */
export interface Finding {
  readonly name: string;
  readonly verdict: Verdict;
  /** What was found. */
  readonly found: string;
  /** What to do; absent where all is well. */
  readonly hint?: string;
}

/** All is well. */
export function ok(name: string, found: string): Finding {
  return { name, verdict: "ok", found };
}

/** kiln works, but worse or without something. */
export function warning(name: string, found: string, hint: string): Finding {
  return { name, verdict: "warning", found, hint };
}

/** kiln cannot work. */
export function failure(name: string, found: string, hint: string): Finding {
  return { name, verdict: "error", found, hint };
}

/** Root's own directories too: ordinary users often lack them, and setpriv or nft live there. */
const MORE_PATH = "/usr/local/sbin:/usr/sbin:/sbin";

/** Where a program is; undefined where it is not. */
export async function findProgram(name: string, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  return (await findPrograms(name, env))[0];
}

/** All places where it is, in PATH's order. */
export async function findPrograms(name: string, env: NodeJS.ProcessEnv): Promise<string[]> {
  if (name.includes("/")) return (await isExecutable(name)) ? [name] : [];
  const found: string[] = [];
  for (const directory of `${env.PATH ?? ""}${delimiter}${MORE_PATH}`.split(delimiter)) {
    const path = join(directory, name);
    if (directory !== "" && (await isExecutable(path))) found.push(path);
  }
  return found;
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false; // not there, or not for us: the same to whoever wants to run it
  }
}

const VERSION_DEADLINE_MS = 5_000;

/** First line of `program --version`; undefined where it says nothing. */
export function versionOf(program: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(program, ["--version"], { timeout: VERSION_DEADLINE_MS }, (error, stdout) => {
      const line = stdout.split("\n")[0]?.trim() ?? "";
      resolve(error !== null || line === "" ? undefined : line);
    });
  });
}

/** What `program --help` prints, on either stream; empty where it says nothing. */
export function helpOf(program: string): Promise<string> {
  return new Promise((resolve) => {
    execFile(program, ["--help"], { timeout: VERSION_DEADLINE_MS }, (_error, stdout, stderr) => {
      resolve(stdout + stderr);
    });
  });
}
