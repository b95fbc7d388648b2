// A local file or directory as a tar stream.

import type { BigIntStats } from "node:fs";
import { lstat, open, readdir, readlink, stat } from "node:fs/promises";
import { Code, KilnError } from "../base/errors.js";
import { encodeTarHeader, paddingOf, type TarEntry, type TarType } from "../base/tar-format.js";
import { TAR_END } from "./tar-stream.js";

const READ_BYTES = 256 * 1024;

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
  const info = await (options.followLink === true ? stat : lstat)(path, { bigint: true });
  if (options.name === undefined) yield* packChildren(Buffer.from(path), "", walk);
  else yield* packNode(Buffer.from(path), options.name, info, walk);
  yield TAR_END;
}

async function* packChildren(path: Buffer, prefix: string, walk: Walk): AsyncGenerator<Uint8Array, void> {
  const names = (await readdir(path, { encoding: "buffer" })).map((name) => name.toString("latin1")).sort();
  for (const name of names) {
    const child = Buffer.concat([path, Buffer.from("/"), Buffer.from(name, "latin1")]);
    yield* packNode(child, prefix + name, await lstat(child, { bigint: true }), walk);
  }
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
  if (type === "directory") yield* packChildren(path, `${name}/`, walk);
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

function shrunk(path: Buffer): KilnError {
  return new KilnError(Code.Aborted, `read ${path.toString()}: it became shorter while it was copied`, {
    reason: "file-changed",
    hint: "copy it again once nobody writes to it",
  });
}
