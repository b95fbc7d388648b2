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

/**
 * @returns undefined where somebody else holds it; a lock that locks nothing where this host has none
 * @throws KilnError where the directory can't be opened
 */
export async function lockInKernel(directory: string): Promise<FileLock | undefined> {
  // A link is followed: its owner may keep the data root on another disk. Who may change it is looked at elsewhere.
  const flags = constants.O_RDONLY | constants.O_DIRECTORY;
  const handle = await open(directory, flags).catch((error: unknown) => {
    throw KilnError.from(error, `lock ${directory}`);
  });
  if ((await flock(handle.fd)) !== HELD) return { release: () => handle.close() };
  await handle.close();
  return undefined;
}

/** The exit code of flock(1); undefined where it could not be run, or did not end. */
async function flock(fd: number): Promise<number | undefined> {
  const program = spawn("flock", ["--nonblock", String(HANDED)], {
    stdio: ["ignore", "ignore", "ignore", fd],
    timeout: PATIENCE_MS,
    killSignal: "SIGKILL",
  });
  try {
    const [code] = (await once(program, "close")) as [number | null];
    return code ?? undefined;
  } catch {
    return undefined; // it is not installed
  }
}
