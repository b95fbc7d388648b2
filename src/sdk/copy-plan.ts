// Where a copy lands: Docker's rules of `docker cp`, as a pure function. Both directions and VM to VM use it.

import { Code, KilnError } from "../base/errors.js";

/** What is copied. */
export interface CopySource {
  /** As the user wrote it, for messages. */
  readonly path: string;
  readonly isDirectory: boolean;
}

/** What is at the place it goes to. */
export interface CopyTarget {
  /** As the user wrote it. */
  readonly path: string;
  readonly kind: "missing" | "file" | "directory";
}

/** Where the copy lands. */
export interface CopyPlan {
  /** Directory to unpack in; it must exist. */
  readonly directory: string;
  /** Name of the copy in it; undefined: the source directory's contents go straight into it. */
  readonly name: string | undefined;
}

/**
 * Decides, as `docker cp` does:
 * - a file into a directory keeps its name; onto a file or a free name it takes that name;
 * - a directory into a directory is put inside it, or only its contents where the source ends in `/.`;
 * - a directory onto a free name is copied under that name; onto a file it is refused.
 *
 * @throws KilnError failed_precondition `not-a-directory`, not_found `no-such-directory`
 */
export function planCopy(source: CopySource, target: CopyTarget): CopyPlan {
  if (target.kind === "directory") {
    const contents = source.isDirectory && wantsContents(source.path);
    return { directory: target.path, name: contents ? undefined : baseName(source.path) };
  }
  const slash = endsInDirectory(target.path);
  if (target.kind === "file" && (source.isDirectory || slash)) {
    throw new KilnError(
      Code.FailedPrecondition,
      `copy ${source.path} to ${target.path}: it is not a directory`,
      {
        reason: "not-a-directory",
      },
    );
  }
  if (target.kind === "missing" && slash && !source.isDirectory) {
    throw new KilnError(Code.NotFound, `copy ${source.path} to ${target.path}: there is no such directory`, {
      reason: "no-such-directory",
      hint: "make the directory first, or leave out the final slash to name the copy",
    });
  }
  return { directory: parentName(target.path), name: baseName(target.path) };
}

/** True for "dir/.", "." and "/": the contents are meant, not the directory. */
export function wantsContents(path: string): boolean {
  return path === "." || path.endsWith("/.") || /^\/+$/.test(path);
}

/** True where the path can only be a directory: a final slash, or "." or ".." as its last part. */
export function endsInDirectory(path: string): boolean {
  return /(^|\/)\.{0,2}$/.test(path);
}

/** Last part of a path, without final slashes and "/.". */
export function baseName(path: string): string {
  return trimmed(path).replace(/^.*\//, "");
}

/** What the last part is in: "/a" for "/a/b", "/" for "/a", "." for "a". */
export function parentName(path: string): string {
  const whole = trimmed(path);
  const slash = whole.lastIndexOf("/");
  if (slash < 0) return ".";
  return slash === 0 ? "/" : whole.slice(0, slash);
}

function trimmed(path: string): string {
  let end = path.length;
  while (end > 0 && (path[end - 1] === "/" || (path[end - 1] === "." && path[end - 2] === "/"))) end--;
  return path.slice(0, end);
}

/**
 * Maps names of an archive that begins with the source's base name to the names that the plan wants.
 *
 * @param name of the copy, bytes as latin1; undefined: the first component is dropped
 */
export function renameRoot(name: string | undefined): (entry: string) => string | undefined {
  return (entry) => {
    const rest = entry.replace(/^(\.?\/)+/, "");
    const slash = rest.indexOf("/");
    const below = slash < 0 ? "" : rest.slice(slash + 1);
    if (name === undefined) return below === "" ? undefined : below;
    return below === "" ? name : `${name}/${below}`;
  };
}
