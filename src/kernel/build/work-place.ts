// The directory that one build works in: made for it, given to its user, removed after it. Only the build's user
// writes in the parts that are given away, so what comes out of them is looked at twice.

import { constants, createWriteStream } from "node:fs";
import { chmod, chown, mkdir, open, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { Code, KilnError } from "../../base/errors.js";
import { makeDirectory } from "../../base/files.js";
import type { BuildPlaces } from "./recipe.js";
import type { BuildUser } from "./sandbox.js";
import { scratchPath } from "./scratch.js";

/** A build's own directory and what is in it. */
export interface WorkPlace extends BuildPlaces {
  readonly root: string;
  /** Ours: the package's content, the merged configuration. */
  readonly input: string;
  /** The build's: what it hands out. */
  readonly output: string;
}

/** A directory (made where missing) that the build's user passes through, whatever the umask. */
export async function makePassage(path: string): Promise<void> {
  await makeDirectory(path, 0o711);
  const mode = (await stat(path)).mode & 0o7777;
  if ((mode & 0o011) !== 0o011) await chmod(path, mode | 0o011);
}

/** Makes the directories; those of the build belong to nobody in particular until `giveTo`. */
export async function makeWorkPlace(parent: string): Promise<WorkPlace> {
  await makePassage(parent);
  const root = await scratchPath(parent, "build");
  await makePassage(root);
  const place = {
    root,
    input: join(root, "in"),
    output: join(root, "out"),
    tree: join(root, "linux"),
    home: join(root, "home"),
    temporary: join(root, "tmp"),
  };
  await mkdir(place.input, { mode: 0o755 });
  await chmod(place.input, 0o755);
  for (const path of ownedByBuild(place)) await mkdir(path, { mode: 0o700 });
  return place;
}

/** Hands the build's directories to its user. */
export async function giveTo(place: WorkPlace, user: BuildUser | undefined): Promise<void> {
  if (user === undefined) return;
  for (const path of ownedByBuild(place)) await chown(path, user.uid, user.gid);
}

export async function removeWorkPlace(place: WorkPlace): Promise<void> {
  // A process of the build that is not fenced may still be writing.
  await rm(place.root, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
}

/**
 * Copies a file that the build has made: only a regular file, never through a link that the build may have put there.
 *
 * @throws KilnError internal `kernel-build-failed`
 */
export async function takeOut(path: string, target: string, maxBytes: number): Promise<number> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const info = await file.stat();
    if (!info.isFile() || info.size > maxBytes) {
      throw new KilnError(Code.Internal, `the build's ${path} is no file of at most ${maxBytes} bytes`, {
        reason: "kernel-build-failed",
      });
    }
    await pipeline(
      file.createReadStream({ autoClose: false, end: maxBytes }),
      createWriteStream(target, { flags: "wx", mode: 0o644 }),
    );
    await chmod(target, 0o644);
    return info.size;
  } finally {
    await file.close();
  }
}

function ownedByBuild(place: WorkPlace): string[] {
  return [place.tree, place.home, place.temporary, place.output];
}
