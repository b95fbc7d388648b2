// The local side of a copy: what is there, and what is still missing.

import type { Stats } from "node:fs";
import { lstat, realpath, stat } from "node:fs/promises";
import { Code, errnoOf, KilnError } from "../base/errors.js";
import {
  baseName,
  type CopyPlan,
  type CopySource,
  type CopyTarget,
  endsInDirectory,
  planCopy,
} from "./copy-plan.js";

/** Plans a copy of a local path to `target` in a VM. @throws KilnError not_found `no-such-file` */
export async function planCopyIn(
  localPath: string,
  target: CopyTarget,
  followLink: boolean | undefined,
): Promise<{ plan: CopyPlan; followLink: boolean }> {
  // As in a shell, "link/" is what the link names.
  const follow = followLink === true || endsInDirectory(localPath);
  const info = await statOrThrow(localPath, follow);
  const path = baseName(localPath) === ".." ? await realpath(localPath) : localPath;
  return { plan: planCopy({ path, isDirectory: info.isDirectory() }, target), followLink: follow };
}

async function statOrThrow(path: string, follow: boolean): Promise<Stats> {
  try {
    return await (follow ? stat : lstat)(path);
  } catch (error) {
    throw KilnError.from(error, `copy ${path}`);
  }
}

/** Plans a copy out of a VM to a local path. @throws KilnError not_found `no-such-directory` */
export async function planCopyOut(source: CopySource, localPath: string): Promise<CopyPlan> {
  const plan = planCopy(source, await localTarget(localPath));
  await requireDirectory(plan.directory, source.path, localPath);
  return plan;
}

async function localTarget(path: string): Promise<CopyTarget> {
  try {
    const info = await stat(path);
    // Through the link, so that the copy replaces what the link names and not the link.
    return { path: await realpath(path), kind: info.isDirectory() ? "directory" : "file" };
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return { path, kind: "missing" };
    if (errnoOf(error) === "ENOTDIR" && endsInDirectory(path)) return { path, kind: "file" };
    throw KilnError.from(error, `copy to ${path}`);
  }
}

async function requireDirectory(directory: string, from: string, to: string): Promise<void> {
  const info = await stat(directory).catch(() => undefined);
  if (info?.isDirectory() === true) return;
  throw new KilnError(Code.NotFound, `copy ${from} to ${to}: there is no directory ${directory}`, {
    reason: "no-such-directory",
    hint: `make it first: mkdir -p ${directory}`,
  });
}
