// A directory where kiln keeps a file: rename(2) and unlink(2) refuse it, so that nothing could be written there any
// more. It is put aside, with all that is in it, and never removed: somebody made it, and kiln did not.

import { randomBytes } from "node:crypto";
import { rename, unlink } from "node:fs/promises";
import { basename } from "node:path";
import { errnoOf } from "./errors.js";

export const DAMAGED_SUFFIX = ".damaged";

/** What stands at `path` gets the name `<path>.damaged`; a longer one where a directory has that already. */
export async function moveAside(path: string): Promise<void> {
  const aside = path + DAMAGED_SUFFIX;
  try {
    await rename(path, aside);
  } catch (error) {
    if (!IN_THE_WAY.has(errnoOf(error) ?? "")) throw error;
    await rename(path, `${aside}-${randomBytes(6).toString("hex")}`);
  }
}

const IN_THE_WAY: ReadonlySet<string> = new Set(["EISDIR", "ENOTDIR", "EEXIST", "ENOTEMPTY"]);

/** rename(2) of a file of kiln's own to its place, also where a directory is there. */
export async function renameInto(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (errnoOf(error) !== "EISDIR") throw error;
    await moveAside(to);
    await rename(from, to);
  }
}

/** Removes a file of kiln's own, if it is there; what was put aside once stays where it is. */
export async function removeFile(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return;
    if (errnoOf(error) !== "EISDIR") throw error;
    if (!basename(path).includes(DAMAGED_SUFFIX)) await moveAside(path);
  }
}
