// A lock that the kernel keeps: flock(2) on a directory, held for as long as the descriptor is open. It holds across
// pid namespaces, where a holder's pid means nothing, and goes with its holder, however that one ends. Node has no
// flock(2): flock(1) of util-linux locks the open file that it is handed, which stays ours after it has gone.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { KilnError } from "./errors.js";
import type { FileLock } from "./lock-file.js";

/** flock(1): somebody else holds it. What else it can't do (a file system without locks) has other codes. */
const HELD = 1;
/** The descriptor's number in flock(1). */
const HANDED = 3;
const PATIENCE_MS = 10_000;
const MAX_WORDS = 500;

/** A lock of the kernel's, or what there is in its place. */
export interface KernelLock extends FileLock {
  /** Why it locks nothing here; undefined where it holds. */
  readonly flaw: string | undefined;
}

/**
 * @returns undefined where somebody else holds it
 * @throws KilnError where the directory can't be opened
 */
export async function lockInKernel(directory: string, program = "flock"): Promise<KernelLock | undefined> {
  // A link is followed: its owner may keep the data root on another disk. Who may change it is looked at elsewhere.
  const flags = constants.O_RDONLY | constants.O_DIRECTORY;
  const handle = await open(directory, flags).catch((error: unknown) => {
    throw KilnError.from(error, `lock ${directory}`);
  });
  const { code, words } = await flock(program, handle.fd);
  if (code !== HELD) {
    const flaw = code === 0 ? undefined : words || `${program} ended with ${code ?? "no code"}`;
    return { flaw, release: () => handle.close() };
  }
  await handle.close();
  return undefined;
}

/** How flock(1) ended, and what it said; no code where it could not be run, or did not end. */
async function flock(name: string, fd: number): Promise<{ code?: number | undefined; words: string }> {
  const program = spawn(name, ["--nonblock", String(HANDED)], {
    stdio: ["ignore", "ignore", "pipe", fd],
    timeout: PATIENCE_MS,
    killSignal: "SIGKILL",
  });
  let words = "";
  program.stderr?.on("data", (chunk: Buffer) => {
    words = (words + chunk.toString("utf8")).slice(0, MAX_WORDS);
  });
  try {
    const [code] = (await once(program, "close")) as [number | null];
    return { code: code ?? undefined, words: words.trim() };
  } catch (error) {
    return { words: `${name} (of util-linux) can't be run: ${KilnError.from(error).message}` };
  }
}
