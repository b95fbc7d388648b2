// Descriptors that this process was started with and knows nothing of: whoever started it left them open (a script's lock,
// a supervisor's socket, the reading end of a secret). Those without close-on-exec would go on to every program that it
// starts, and a VMM would hold a file of the host that nobody meant it to have. Node marks what it finds at its start
// only up to the first gap in the numbers.

import { closeSync, readdirSync, readFileSync } from "node:fs";

/** In the octal `flags:` of /proc/<pid>/fdinfo/<fd> (proc(5)): the same on every architecture that Node runs on. */
const CLOSE_ON_EXEC = 0o2000000;
const FIRST_AFTER_STDIO = 3;

/**
 * Closes every descriptor that a child would inherit, but for stdin, stdout, stderr and `keep`. Call it before anything
 * else: Node and what kiln opens are marked close-on-exec, so what is not was there before.
 *
 * @returns what was closed
 */
export function closeStrayDescriptors(keep: readonly number[] = []): number[] {
  const strays = readdirSync("/proc/self/fd")
    .map(Number)
    .filter((fd) => fd >= FIRST_AFTER_STDIO && !keep.includes(fd) && isInherited(fd));
  for (const fd of strays) closeQuietly(fd);
  return strays;
}

/** False for one that has gone: the listing's own. */
function isInherited(fd: number): boolean {
  let text: string;
  try {
    text = readFileSync(`/proc/self/fdinfo/${fd}`, "latin1");
  } catch {
    return false;
  }
  return !closesOnExec(text);
}

/** Pure. @param fdinfo the text of /proc/<pid>/fdinfo/<fd> */
export function closesOnExec(fdinfo: string): boolean {
  const flags = /^flags:\s*([0-7]+)$/m.exec(fdinfo)?.[1];
  return flags === undefined || (Number.parseInt(flags, 8) & CLOSE_ON_EXEC) !== 0;
}

function closeQuietly(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // A network file system may say only now that an earlier write failed: the descriptor is closed all the same.
  }
}
