// Where a copy lands: Docker's rules of `docker cp`, as pure functions. Both directions and VM to VM use them.

import { posix } from "node:path";
import { Code, KilnError } from "./errors.js";

/** What is copied. */
export interface CopySource {
  /** Clean (cleanPath): its last part is its name, a final "/." asks for its contents. */
  readonly path: string;
  readonly isDirectory: boolean;
}

/** What is at the place it goes to, links followed. */
export interface CopyTarget {
  /** Clean. */
  readonly path: string;
  readonly kind: "missing" | "file" | "directory" | "device";
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
 * - into a directory a source keeps its name; of a directory that ends in `/.`, and of the root, only the contents go;
 * - a file onto a file takes its place; a directory onto a file is refused;
 * - onto a free name either takes that name, but a file none that asks for a directory;
 * - a device is no place for a copy.
 *
 * What the directory of the plan holds already is the unpacker's affair: directories merge, files are replaced, and
 * neither ever takes the place of the other.
 *
 * @throws KilnError failed_precondition `not-a-directory`, `is-a-device`, not_found `no-such-directory`
 */
export function planCopy(source: CopySource, target: CopyTarget): CopyPlan {
  const what = `copy ${source.path} to ${target.path}`;
  if (target.kind === "device") {
    throw new KilnError(Code.FailedPrecondition, `${what}: it is a device`, { reason: "is-a-device" });
  }
  if (target.kind === "directory") {
    const contents = source.isDirectory && wantsContents(source.path);
    return { directory: target.path, name: contents ? undefined : baseName(source.path) };
  }
  const wantsDirectory = endsInDirectory(target.path);
  if (target.kind === "file" && (source.isDirectory || wantsDirectory)) {
    throw new KilnError(Code.FailedPrecondition, `${what}: it is not a directory`, {
      reason: "not-a-directory",
    });
  }
  if (target.kind === "missing" && wantsDirectory && !source.isDirectory) throw noSuchDirectory(what);
  return { directory: parentName(target.path), name: baseName(target.path) };
}

/** @param what "copy a to b" */
export function noSuchDirectory(what: string): KilnError {
  return new KilnError(Code.NotFound, `${what}: there is no such directory`, {
    reason: "no-such-directory",
    hint: "make the directory first, or leave out the final slash to name the copy",
  });
}

/**
 * A path as Docker takes it: "." and ".." folded by the words alone, but a final "/." (the contents) or "/" (a
 * directory) kept.
 *
 * @param path absolute
 */
export function cleanPath(path: string): string {
  const clean = posix.normalize(path).replace(/(?<=[^/])\/$/, "");
  if (clean === "/") return clean;
  if (lastPart(path) === ".") return `${clean}/.`;
  return path.endsWith("/") ? `${clean}/` : clean;
}

/** True for "dir/." and "/": the contents are meant, not the directory. */
export function wantsContents(path: string): boolean {
  const last = lastPart(path);
  return last === "." || last === "";
}

/** True where the path can only be a directory: a final slash, or "." as its last part. */
export function endsInDirectory(path: string): boolean {
  return path.endsWith("/") || lastPart(path) === ".";
}

/** Last part of a path, without final slashes and "/."; "" of the root. */
export function baseName(path: string): string {
  return trimmed(path).replace(/^.*\//s, "");
}

/** The name that a file at `path` has. @throws KilnError invalid_argument `bad-path` where only a directory can be */
export function fileName(path: string): string {
  const name = baseName(path);
  if (name !== "" && name !== ".." && name !== "." && !endsInDirectory(path)) return name;
  throw new KilnError(Code.InvalidArgument, `write ${JSON.stringify(path)}: the path names no file`, {
    reason: "bad-path",
    hint: "end it with the file's own name, without a slash behind it",
  });
}

/** What the last part is in: "/a" for "/a/b", "/" for "/a", "." for "a". */
export function parentName(path: string): string {
  const whole = trimmed(path);
  const slash = whole.lastIndexOf("/");
  if (slash < 0) return ".";
  return slash === 0 ? "/" : whole.slice(0, slash);
}

/** The last word between slashes, final ones aside. */
function lastPart(path: string): string {
  let end = path.length;
  while (end > 0 && path[end - 1] === "/") end--;
  return path.slice(path.lastIndexOf("/", end - 1) + 1, end);
}

function trimmed(path: string): string {
  let end = path.length;
  while (end > 0 && (path[end - 1] === "/" || (path[end - 1] === "." && path[end - 2] === "/"))) end--;
  return path.slice(0, end);
}

/**
 * Maps names of an archive of `source`, which begin with the source's base name, to the names that the plan wants.
 * The root's own archive has no such name to drop.
 *
 * @param name of the copy, bytes as latin1; undefined: the contents go straight into the plan's directory
 */
export function renameRoot(source: string, name: string | undefined): (entry: string) => string | undefined {
  const nameless = baseName(source) === "";
  return (entry) => {
    const rest = entry.replace(/^(\.?\/)+/, "");
    const slash = rest.indexOf("/");
    const below = nameless ? (rest === "." ? "" : rest) : slash < 0 ? "" : rest.slice(slash + 1);
    if (name === undefined) return below === "" ? undefined : below;
    return below === "" ? name : `${name}/${below}`;
  };
}

/** True of a name of one part. In steps that read it once: a guest's name may be a million slashes. */
function isRootName(entry: string): boolean {
  const rest = entry.replace(/^(\.?\/)+/, "");
  const slash = rest.indexOf("/");
  return slash < 0 || /^\/+$/.test(rest.slice(slash));
}

/** Whether an archive has what was asked for: a guest that sends nothing, and says no word, has copied nothing. */
export class RootWitness {
  readonly #source: string;
  #seen = false;

  /** @param source clean */
  constructor(source: string) {
    this.#source = source;
  }

  /** The same renaming, which notes what it is asked. */
  watch(rename: (entry: string) => string | undefined): (entry: string) => string | undefined {
    const nameless = baseName(this.#source) === "";
    return (entry) => {
      if (nameless || isRootName(entry)) this.#seen = true;
      return rename(entry);
    };
  }

  /** @throws KilnError data_loss `bad-archive` */
  require(): void {
    if (this.#seen) return;
    throw sentWithout(this.#source);
  }

  /** The archive, which fails at its end where it had not what was asked for. */
  async *guard(archive: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
    yield* archive;
    this.require();
  }
}

function sentWithout(source: string): KilnError {
  const what = `copy ${source} out of the VM: the guest sent an archive without it`;
  return new KilnError(Code.DataLoss, what, { reason: "bad-archive" });
}

const BLOCK_BYTES = 512;

/**
 * The archive, of which nothing goes on before it has an entry: its first block is not the mark of its end.
 *
 * @throws KilnError data_loss `bad-archive` where it has none
 */
export async function* withEntries(
  source: string,
  archive: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void> {
  const held: Uint8Array[] = [];
  let zeros = 0;
  let begun = false;
  for await (const chunk of archive) {
    if (begun) {
      yield chunk;
      continue;
    }
    held.push(chunk);
    begun = chunk.some((byte, at) => byte !== 0 && zeros + at < BLOCK_BYTES);
    zeros += chunk.byteLength;
    if (begun) yield* held.splice(0);
    else if (zeros >= BLOCK_BYTES) break;
  }
  if (!begun) throw sentWithout(source);
}
