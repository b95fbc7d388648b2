// A local file or directory as a tar stream.

import type { BigIntStats } from "node:fs";
import { lstat, open, readdir, readlink, stat } from "node:fs/promises";
import { Code, KilnError } from "../base/errors.js";
import { encodeTarHeader, paddingOf, type TarEntry, type TarType } from "../base/tar-format.js";
import { TAR_END } from "./tar-stream.js";

const READ_BYTES = 256 * 1024;
/** PATH_MAX, without its NUL. */
const MAX_PATH_BYTES = 4095;

/** Options of packTree(). */
export interface PackOptions {
  /** Name of the root entry, bytes as latin1; undefined: the contents of the directory, without it. */
  readonly name: string | undefined;
  /** Follows `path` itself where it is a symbolic link. Links below it are copied as links. */
  readonly followLink?: boolean | undefined;
  /** Told of what is left out: sockets. */
  readonly onSkip?: ((path: string, why: string) => void) | undefined;
}

interface Walk {
  readonly options: PackOptions;
  /** First name of an inode with several links, by device and inode number. */
  readonly seen: Map<string, string>;
}

/**
 * Packs one tree. Entries come in the order of their names; hard links within the tree stay hard links.
 *
 * @throws a Node system error of the file that could not be read
 */
export async function* packTree(path: string, options: PackOptions): AsyncGenerator<Uint8Array, void> {
  const walk: Walk = { options, seen: new Map() };
  const root = Buffer.from(path);
  const info = await (options.followLink === true ? stat : lstat)(path, { bigint: true });
  // A stack of our own: a tree may be deeper than the engine's.
  const pending: Pending[] =
    options.name === undefined ? await childrenOf(root, "") : [{ path: root, name: options.name, info }];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { path: at, name } = next;
    const found = next.info ?? (await lstat(at, { bigint: true }));
    yield* packNode(at, name, found, walk);
    if (found.isDirectory()) for (const child of await childrenOf(at, `${name}/`)) pending.push(child);
  }
  yield TAR_END;
}

/** What is still to be packed. */
interface Pending {
  readonly path: Buffer;
  readonly name: string;
  readonly info?: BigIntStats;
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

async function* packNode(
  path: Buffer,
  name: string,
  info: BigIntStats,
  walk: Walk,
): AsyncGenerator<Uint8Array, void> {
  const type = typeOf(info);
  if (type === undefined) return walk.options.onSkip?.(path.toString(), "sockets are not copied");
  const first = firstNameOf(info, name, walk);
  if (first !== undefined) {
    yield encodeTarHeader({ ...attributes(info, name), type: "hardlink", linkName: first });
    return;
  }
  if (type === "file") return yield* packFile(path, name, info);
  const linkName = type === "symlink" ? (await readlink(path, "buffer")).toString("latin1") : "";
  yield encodeTarHeader({ ...attributes(info, name), type, linkName });
}

/** The name under which this inode went before; remembers it at first sight. */
function firstNameOf(info: BigIntStats, name: string, walk: Walk): string | undefined {
  if (info.nlink < 2n || info.isDirectory()) return undefined;
  const key = `${info.dev}:${info.ino}`;
  const first = walk.seen.get(key);
  if (first === undefined) walk.seen.set(key, name);
  return first;
}

async function* packFile(path: Buffer, name: string, info: BigIntStats): AsyncGenerator<Uint8Array, void> {
  const size = Number(info.size);
  const file = await open(path, "r");
  try {
    yield encodeTarHeader({ ...attributes(info, name), type: "file", size });
    for (let at = 0; at < size; ) {
      const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, size - at));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
      if (bytesRead === 0) throw shrunk(path);
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
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
