// Links on the way to what is shared. A user's are followed. One in a directory that some guest writes to may be that guest's:
// followed, it would lead the next server, of its own VM or of another one, to whatever of the host the guest has chosen.

import { readlink, realpath, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Code, KilnError } from "../base/errors.js";
import type { GuestPlace } from "./types.js";

/** As many as Linux follows. */
const MOST_LINKS = 40;

/**
 * @param opened where what was opened by `source` lies
 * @param places those that guests may write to
 * @throws KilnError failed_precondition `share-source-linked`
 */
export async function checkLinks(
  source: string,
  opened: string,
  places: readonly GuestPlace[],
): Promise<void> {
  if (places.length === 0) return;
  const { place, directories } = await linksOnTheWay(source);
  for (const linked of directories) {
    const inodes = await inodesAbove(linked);
    for (const { path, vm } of places) {
      const root = await realpath(path).catch(() => path);
      const inode = await inodeAt(root);
      if (!isWithin(linked, root) && (inode === undefined || !inodes.includes(inode))) continue;
      throw refused(source, `a link in ${linked} is on the way to it, where VM ${vm} may write`);
    }
  }
  // The way was another one when it was opened: what it was then nobody knows.
  if (place !== opened) throw refused(source, "the way to it changes while it is opened");
}

/** Where a path leads, and the directories whose links were followed. */
async function linksOnTheWay(source: string): Promise<{ place: string; directories: string[] }> {
  const directories: string[] = [];
  let place = "/";
  let left = source.split("/");
  while (left.length > 0) {
    const [name = "", ...rest] = left;
    left = rest;
    const next = join(place, name);
    const target = name === ".." ? undefined : await linkAt(source, next);
    if (target === undefined) {
      place = next;
      continue;
    }
    directories.push(dirname(next));
    if (directories.length > MOST_LINKS) throw refused(source, "too many links are on the way to it");
    if (target.startsWith("/")) place = "/";
    left = [...target.split("/"), ...left];
  }
  return { place, directories };
}

/** What a link says; undefined for what is none. */
async function linkAt(source: string, path: string): Promise<string | undefined> {
  try {
    return await readlink(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EINVAL") return undefined;
    throw refused(source, "the way to it changes while it is opened", error);
  }
}

/** Of a directory and all above it: it may have other names than by which a VM was given it (`mount --bind`). */
async function inodesAbove(directory: string): Promise<(string | undefined)[]> {
  const above = directory === "/" ? [] : await inodesAbove(dirname(directory));
  return [await inodeAt(directory), ...above];
}

async function inodeAt(path: string): Promise<string | undefined> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found === undefined ? undefined : `${found.dev}:${found.ino}`;
}

function isWithin(path: string, root: string): boolean {
  return path === root || path.startsWith(root === "/" ? root : `${root}/`);
}

function refused(source: string, why: string, cause?: unknown): KilnError {
  return new KilnError(Code.FailedPrecondition, `share ${source}: ${why}`, {
    reason: "share-source-linked",
    hint: "share the path that it leads to; or give the other mount :ro",
    cause,
  });
}
