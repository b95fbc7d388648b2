// What the rows about shares read: a directory of small files, a git repository, 64 MB in one file.

import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmod, chown, mkdir, readdir, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { findProgram } from "../src/base/programs.js";

export const SMALL_FILES = 1_000;
const SMALL_BYTES = 2_048;
export const GIT_FILES = 929;
const GIT_DIRECTORIES = 40;
export const BIG_MIB = 64;
const MIB = 1024 ** 2;
/** Whose the tree is where the bench is root's: kiln-share never serves as root. */
const OWNER = 12_345;

/** Makes it at `root`. */
export async function writeShareTree(root: string): Promise<void> {
  await mkdir(join(root, "small"), { recursive: true });
  for (let index = 0; index < SMALL_FILES; index++)
    await writeFile(join(root, "small", `file${index}`), randomBytes(SMALL_BYTES));
  await writeFile(join(root, "big"), randomBytes(BIG_MIB * MIB));
  await writeRepository(join(root, "tree"));
  await giveAll(root);
}

/** Its files are old and compared by time and size alone: whoever looks, as whichever user, git has none to read. */
async function writeRepository(tree: string): Promise<void> {
  const anHourAgo = Date.now() / 1000 - 3600;
  for (let index = 0; index < GIT_FILES; index++) {
    const directory = join(tree, `directory${index % GIT_DIRECTORIES}`);
    const path = join(directory, `file${index}`);
    await mkdir(directory, { recursive: true });
    await writeFile(path, `file ${index}\n`.repeat(100));
    await utimes(path, anHourAgo, anHourAgo);
  }
  if ((await findProgram("git")) === undefined) return;
  const git = (...args: string[]) => promisify(execFile)("git", ["-C", tree, ...args]);
  await git("init", "-q");
  await git("config", "core.checkStat", "minimal");
  await git("config", "core.trustctime", "false");
  await git("add", ".");
  await git("-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-q", "-m", "bench");
}

/** Writable to all as well: QEMU serves as whoever runs the bench. */
async function giveAll(root: string): Promise<void> {
  await chmod(root, 0o777);
  if (process.getuid?.() !== 0) return;
  for (const path of ["", ...(await readdir(root, { recursive: true }))])
    await chown(join(root, path), OWNER, OWNER);
}
