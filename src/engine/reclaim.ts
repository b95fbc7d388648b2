// Directories of a release in which a VM's user owned them: made kilnd's own before anything in them is opened by its
// name. What such a user has planted there goes; a VMM that still runs keeps its open sockets and files.

import { chmod, chown, lstat, readdir, rm } from "node:fs/promises";
import { hasReason } from "../base/errors.js";
import { Pinned } from "../base/pinned.js";

/** @param path in a directory that only kilnd writes. @returns what was removed from it */
export async function reclaimDirectory(path: string): Promise<string[]> {
  const me = process.getuid?.() ?? 0;
  let directory: Pinned;
  try {
    directory = await Pinned.open(path, { kind: "directory" });
  } catch (error) {
    if (hasReason(error, "no-such-file")) return [];
    throw error;
  }
  await using pinned = directory;
  if (pinned.uid === me) return [];
  await chown(pinned.path, me, process.getgid?.() ?? 0);
  await chmod(pinned.path, 0o700);
  // From here on nobody but us changes it.
  const removed: string[] = [];
  for (const name of await readdir(pinned.path)) {
    const entry = await lstat(pinned.at(name));
    const linked = entry.isSymbolicLink() ? entry.uid !== me : !entry.isDirectory() && entry.nlink !== 1;
    if (!linked) continue;
    await rm(pinned.at(name), { force: true });
    removed.push(name);
  }
  return removed;
}
