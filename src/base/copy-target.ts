// What is at the place in a guest that a copy goes to. The guest is looked at from outside, one path at a time.

import { type CopyTarget, cleanPath, noSuchDirectory, parentName } from "./copy-plan.js";
import { Code, KilnError } from "./errors.js";
import { utf8OrThrow } from "./utf8.js";

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFLNK = 0o120000;
const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;
/** As many links as the kernel follows (path_resolution(7)). */
const MAX_LINKS = 40;
/** PATH_MAX: no kernel follows a longer one, and no guest is believed that says so. */
const MAX_PATH_BYTES = 4096;

/** What lstat(2) and readlink(2) say. */
export interface Look {
  /** st_mode. */
  readonly mode: number;
  readonly linkTargetBytes: Uint8Array;
}

export const isDirectory = ({ mode }: Pick<Look, "mode">): boolean => (mode & S_IFMT) === S_IFDIR;
export const isLink = ({ mode }: Pick<Look, "mode">): boolean => (mode & S_IFMT) === S_IFLNK;

/**
 * Follows links as far as they lead.
 *
 * @param look undefined where there is nothing
 * @throws KilnError not_found `no-such-directory`, failed_precondition `link-loop`
 */
export async function findTarget(
  path: string,
  look: (path: string) => Promise<Look | undefined>,
): Promise<CopyTarget> {
  let at = cleanPath(path);
  for (let links = 0; links <= MAX_LINKS; links++) {
    const info = await look(at);
    if (info === undefined) {
      // Contents go into what is there, and nothing is.
      if (at.endsWith("/.")) throw noSuchDirectory(`copy to ${path}`);
      return { path: at, kind: "missing" };
    }
    if (!isLink(info)) return { path: at, kind: kindOf(info.mode & S_IFMT) };
    at = resolveLink(at, utf8OrThrow(info.linkTargetBytes, `copy to ${path}: follow ${at}`));
    if (Buffer.byteLength(at) >= MAX_PATH_BYTES) break;
  }
  throw new KilnError(Code.FailedPrecondition, `copy to ${path}: too many symbolic links, or too long ones`, {
    reason: "link-loop",
  });
}

function kindOf(type: number): CopyTarget["kind"] {
  if (type === S_IFDIR) return "directory";
  return type === S_IFCHR || type === S_IFBLK ? "device" : "file";
}

/** The path that a link at `path` names. Without folding "..": only the guest's kernel can do that right. */
function resolveLink(path: string, target: string): string {
  if (target.startsWith("/")) return target;
  const parent = parentName(path);
  return parent === "/" ? `/${target}` : `${parent}/${target}`;
}
