// The local side of a copy: what is there, and what is still missing.

import type { Stats } from "node:fs";
import { lstat, readlink, realpath, stat } from "node:fs/promises";
import { resolve } from "node:path";
import {
  type CopyPlan,
  type CopySource,
  type CopyTarget,
  cleanPath,
  endsInDirectory,
  parentName,
  planCopy,
} from "../base/copy-plan.js";
import { Code, errnoOf, KilnError } from "../base/errors.js";
import { utf8OrThrow } from "../base/utf8.js";

/** As many links as the kernel follows (path_resolution(7)). */
const MAX_LINKS = 40;

/** What a copy into a VM reads. */
export interface LocalSource extends CopySource {
  readonly followLink: boolean;
}

/** @throws KilnError not_found `no-such-file` */
export async function localSource(localPath: string, followLink: boolean | undefined): Promise<LocalSource> {
  const path = absolute(localPath);
  // As in a shell, "link/" is what the link names.
  const follow = followLink === true || endsInDirectory(path);
  const info = await statOrThrow(path, localPath, follow);
  return { path, isDirectory: info.isDirectory(), followLink: follow };
}

async function statOrThrow(path: string, shown: string, follow: boolean): Promise<Stats> {
  try {
    return await (follow ? stat : lstat)(path);
  } catch (error) {
    throw KilnError.from(error, `copy ${shown}`);
  }
}

/** Plans a copy out of a VM to a local path. @throws KilnError not_found `no-such-directory` */
export async function planCopyOut(source: CopySource, localPath: string): Promise<CopyPlan> {
  const plan = planCopy(source, await localTarget(localPath));
  await requireDirectory(plan.directory, source.path, localPath);
  return plan;
}

/** Through links, so that the copy replaces what they name and not the links, also where nothing is there yet. */
async function localTarget(shown: string): Promise<CopyTarget> {
  let path = absolute(shown);
  try {
    for (let links = 0; links <= MAX_LINKS; links++) {
      const info = await lstat(path);
      if (!info.isSymbolicLink()) return { path, kind: kindOf(info) };
      const target = utf8OrThrow(await readlink(path, "buffer"), `copy to ${shown}: follow ${path}`);
      const parent = await realpath(parentName(path), "buffer");
      path = cleanPath(resolve(utf8OrThrow(parent, `copy to ${shown}`), target));
    }
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return { path, kind: "missing" };
    if (errnoOf(error) === "ENOTDIR" && endsInDirectory(path)) return { path, kind: "file" };
    throw KilnError.from(error, `copy to ${shown}`);
  }
  throw new KilnError(Code.FailedPrecondition, `copy to ${shown}: too many symbolic links`, {
    reason: "link-loop",
  });
}

function kindOf(info: Stats): CopyTarget["kind"] {
  if (info.isDirectory()) return "directory";
  return info.isBlockDevice() || info.isCharacterDevice() ? "device" : "file";
}

/** Absolute, and what the last characters ask for kept: resolve() drops it. */
function absolute(path: string): string {
  return cleanPath(path.startsWith("/") ? path : `${process.cwd()}/${path}`);
}

async function requireDirectory(directory: string, from: string, to: string): Promise<void> {
  const info = await stat(directory).catch(() => undefined);
  if (info?.isDirectory() === true) return;
  throw new KilnError(Code.NotFound, `copy ${from} to ${to}: there is no directory ${directory}`, {
    reason: "no-such-directory",
    hint: `make it first: mkdir -p ${directory}`,
  });
}
