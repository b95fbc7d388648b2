// What a VM was refused by its user network: the guard counts it in a file of the VM's run directory, which it has as memory
// (agent/netguard/src/count.rs). So the number outlives passt and kilnd, and goes with the run.

import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../../base/errors.js";

/** Of one 64-bit number. */
const BYTES = 8;

/** @param runDirectory which only kilnd writes */
export function countFileIn(runDirectory: string): string {
  return join(runDirectory, "egress.count");
}

/** For the guard: made where it is not there. */
export async function openCount(
  path: string | undefined,
): Promise<{ readonly fd: number | "ignore" } & AsyncDisposable> {
  if (path === undefined) return { fd: "ignore", [Symbol.asyncDispose]: async () => undefined };
  const file = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  try {
    const { size } = await file.stat();
    // Written and not only made that long: a page that the disk has no room for would end passt at its first touch.
    if (size < BYTES) await file.write(Buffer.alloc(BYTES), 0, BYTES, 0);
  } catch (error) {
    await file.close();
    throw error;
  }
  return { fd: file.fd, [Symbol.asyncDispose]: () => file.close() };
}

/** So often was the VM refused what it wanted to reach, since it began. 0 of one that an earlier release has connected. */
export async function readCount(path: string): Promise<number> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return 0;
    throw error;
  }
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(BYTES), 0, BYTES, 0);
    return bytesRead < BYTES ? 0 : Number(buffer.readBigUInt64LE(0));
  } finally {
    await file.close();
  }
}
