// A local file or directory as a tar stream.

import type { BigIntStats } from "node:fs";
import { type FileHandle, lstat, readdir, readlink, stat } from "node:fs/promises";
import { Code, KilnError } from "../base/errors.js";
import { encodeTarHeader, paddingOf, type TarEntry, type TarType } from "../base/tar-format.js";
import { TAR_END } from "../base/tar-stream.js";
import { hasGone, isUnsized, openToRead, readUnsized } from "./local-source.js";

const READ_BYTES = 256 * 1024;
/** PATH_MAX, without its NUL. */
const MAX_PATH_BYTES = 4095;

/** Options of packTree(). */
export interface PackOptions {
  /** Name of the root entry, bytes as latin1; undefined: the contents of the directory, without it. */
  readonly name: string | undefined;
  /** Follows `path` itself where it is a symbolic link. Links below it are copied as links. */
  readonly followLink?: boolean | undefined;
  /** Told of what is left out: sockets and devices. */
  readonly onSkip?: ((path: string, why: string) => void) | undefined;
}

interface Walk {
  readonly options: PackOptions;
  /** First name of an inode with several links, by device and inode number. */
  readonly seen: Map<string, string>;
}

/**
 * Packs one tree. Entries come in the order of their names; hard links within the tree stay hard links. What goes while the
 * tree is walked is left out, as tar does it; but for the root, which was asked for.
 *
 * @throws a Node system error of the file that could not be read
 */
export async function* packTree(path: string, options: PackOptions): AsyncGenerator<Uint8Array, void> {
  const walk: Walk = { options, seen: new Map() };
  const root = Buffer.from(path);
  // A stack of our own: a tree may be deeper than the engine's.
  const pending: Pending[] =
    options.name === undefined
      ? await childrenOf(root, "")
      : [{ path: root, name: options.name, root: { followLink: options.followLink === true } }];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const found = await look(next, walk);
    if (found === undefined) continue;
    try {
      yield* packNode(next, found, walk);
    } finally {
      await found.file?.close();
    }
    for (const child of found.children) pending.push(child);
  }
  yield TAR_END;
}

/** What is still to be packed. */
interface Pending {
  readonly path: Buffer;
  readonly name: string;
  /** It is what was asked for. */
  readonly root?: { readonly followLink: boolean };
}

/** All that can be missing of it, taken before its first byte is sent. */
interface Found {
  readonly info: BigIntStats;
  readonly type: TarType | undefined;
  /** The name that the same file went under before. */
  readonly first: string | undefined;
  readonly children: readonly Pending[];
  readonly linkName: string;
  readonly file: FileHandle | undefined;
}

/** Undefined where it has gone since its directory was read. */
async function look(next: Pending, walk: Walk): Promise<Found | undefined> {
  try {
    return await lookOrThrow(next, walk);
  } catch (error) {
    if (next.root === undefined && hasGone(error)) return undefined;
    throw error;
  }
}

async function lookOrThrow({ path, name, root }: Pending, walk: Walk): Promise<Found> {
  const follow = root?.followLink === true;
  const info = await (follow ? stat : lstat)(path, { bigint: true });
  const type = typeOf(info);
  const key = info.nlink < 2n || type === "directory" ? undefined : `${info.dev}:${info.ino}`;
  const first = key === undefined ? undefined : walk.seen.get(key);
  const found = {
    info,
    type,
    first,
    children: type === "directory" ? await childrenOf(path, `${name}/`) : [],
    linkName: type === "symlink" ? (await readlink(path, "buffer")).toString("latin1") : "",
    file: type === "file" && first === undefined ? await openToRead(path, follow) : undefined,
  };
  // Only now: a name that is not packed is no target for links.
  if (key !== undefined && first === undefined) walk.seen.set(key, name);
  return found;
}

/** The last name first: they are taken from the end. */
async function childrenOf(path: Buffer, prefix: string): Promise<Pending[]> {
  const names = (await readdir(path, { encoding: "buffer" })).map((name) => name.toString("latin1"));
  return names
    .sort()
    .reverse()
    .map((name) => {
      const child = Buffer.concat([path, Buffer.from("/"), Buffer.from(name, "latin1")]);
      if (child.length > MAX_PATH_BYTES) throw tooDeep(child);
      return { path: child, name: prefix + name };
    });
}

async function* packNode(next: Pending, found: Found, walk: Walk): AsyncGenerator<Uint8Array, void> {
  const { path, name } = next;
  const { info, type, first, linkName, file } = found;
  if (type === undefined) {
    const what = info.isSocket() ? "sockets" : "devices";
    if (next.root !== undefined) throw notCopied(path.toString(), what);
    return walk.options.onSkip?.(path.toString(), `${what} are not copied`);
  }
  if (first !== undefined) {
    yield encodeTarHeader({ ...attributes(info, name), type: "hardlink", linkName: first });
  } else if (file === undefined) {
    yield encodeTarHeader({ ...attributes(info, name), type, linkName });
  } else if (next.root !== undefined && (await isUnsized(path, info))) {
    const data = await readUnsized(file, path);
    yield encodeTarHeader({ ...attributes(info, name), type, size: data.length });
    yield data;
    yield Buffer.alloc(paddingOf(data.length));
  } else {
    yield* packFile(file, path, attributes(info, name), Number(info.size));
  }
}

async function* packFile(
  file: FileHandle,
  path: Buffer,
  entry: TarEntry,
  size: number,
): AsyncGenerator<Uint8Array, void> {
  yield encodeTarHeader({ ...entry, size });
  for (let at = 0; at < size; ) {
    const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, size - at));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
    if (bytesRead === 0) throw shrunk(path);
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
  yield Buffer.alloc(paddingOf(size));
}

function attributes(info: BigIntStats, name: string): TarEntry {
  return {
    name,
    type: "file",
    mode: Number(info.mode & 0o7777n),
    uid: Number(info.uid),
    gid: Number(info.gid),
    size: 0,
    mtimeMs: Number(info.mtimeNs / 1000n) / 1000,
    linkName: "",
  };
}

function typeOf(info: BigIntStats): TarType | undefined {
  if (info.isFile()) return "file";
  if (info.isDirectory()) return "directory";
  if (info.isSymbolicLink()) return "symlink";
  if (info.isFIFO()) return "fifo";
  return undefined;
}

/** What was asked for itself, and not left out of more. */
export function notCopied(path: string, what: string): KilnError {
  return new KilnError(Code.InvalidArgument, `copy ${path}: ${what} are not copied`, {
    reason: "not-copyable",
    hint: "copy a file, a directory or a link; what a device or a FIFO gives can be piped through `kiln exec -i`",
  });
}

function tooDeep(path: Buffer): KilnError {
  const start = path.subarray(0, 60).toString();
  return new KilnError(Code.InvalidArgument, `read ${start}…: it goes deeper than Linux has paths for`, {
    reason: "path-too-long",
    hint: "send it as a tar stream: tar -cf - DIR | kiln cp - VM:DIR",
  });
}

function shrunk(path: Buffer): KilnError {
  return new KilnError(Code.Aborted, `read ${path.toString()}: it became shorter while it was copied`, {
    reason: "file-changed",
    hint: "copy it again once nobody writes to it",
  });
}
