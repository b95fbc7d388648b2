// Directories of a release in which a VM's user owned them: made kilnd's own before anything in them is opened by its
// name. What such a user has planted there goes; a VMM that still runs keeps its open sockets and files.

import { chmod, chown, lstat, readdir, rm, stat } from "node:fs/promises";
import { hasReason } from "../../base/errors.js";
import { Pinned } from "../../base/pinned.js";
import { DEFAULT_USER_RANGE } from "./ownership.js";

/** No user's and no VM's group: only root can have set it. */
const NOT_CLEAN = DEFAULT_USER_RANGE.firstUid - 2;

/**
 * In three steps, so that a kill between any two of them is made good by the next start: ours with a group that says
 * "not clean yet" (one system call: nobody can fake or hinder it), then cleaned, then ours altogether.
 *
 * @param path in a directory that only kilnd writes
 * @param remove for tests of a kill half way
 * @returns what was removed from it
 */
export async function reclaimDirectory(path: string, remove = rm): Promise<string[]> {
  const me = process.getuid?.() ?? 0;
  const myGroup = process.getgid?.() ?? 0;
  let directory: Pinned;
  try {
    directory = await Pinned.open(path, { kind: "directory" });
  } catch (error) {
    if (hasReason(error, "no-such-file")) return [];
    throw error;
  }
  await using pinned = directory;
  const { uid, gid } = await stat(pinned.path);
  if (uid === me && gid !== NOT_CLEAN) return [];
  if (uid !== me) await chown(pinned.path, me, NOT_CLEAN);
  await chmod(pinned.path, 0o700);
  // From here on nobody but us changes it.
  const removed: string[] = [];
  for (const name of await readdir(pinned.path)) {
    const entry = await lstat(pinned.at(name));
    const linked = entry.isSymbolicLink() ? entry.uid !== me : !entry.isDirectory() && entry.nlink !== 1;
    if (!linked) continue;
    await remove(pinned.at(name), { force: true });
    removed.push(name);
  }
  await chown(pinned.path, me, myGroup);
  return removed;
}
