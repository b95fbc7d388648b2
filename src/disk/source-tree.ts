// Reads a directory of the host into the tree a file sink takes: everything owned by root, 0644 or 0755, one time for
// all, so that equal content gives equal disks whoever unpacked it.

import { lstat, readdir, readlink } from "node:fs/promises";
import { Code, KilnError } from "../base/errors.js";
import type { DirectoryInode, InodeAttributes } from "../base/tree.js";
import { entrySize } from "./ext4/directory.js";
import { BLOCK_SIZE, blocksFor, MAX_FAST_SYMLINK } from "./ext4/format.js";

/** A regular file that is still to be copied. */
export interface SourceFile {
  readonly path: Buffer;
  readonly size: number;
  readonly executable: boolean;
  /** Where it goes: the directory and its name there. */
  readonly parent: DirectoryInode;
  readonly name: string;
}

export interface SourceTree {
  /** Directories and symlinks; files are added as they are copied. */
  readonly root: DirectoryInode;
  /** In the order of their paths. */
  readonly files: readonly SourceFile[];
  readonly inodes: number;
  /** Blocks that data, directories and long symlinks take, rounded up. */
  readonly blocks: number;
}

const SLASH = Buffer.from("/");

/**
 * @param mtimeNs of everything
 * @throws KilnError not_found, permission_denied; invalid_argument `unsupported-file-type` for devices and the like
 */
export async function scanDirectory(path: string, mtimeNs: bigint): Promise<SourceTree> {
  const scan = new Scan(mtimeNs);
  await scan.run(Buffer.from(path));
  return scan;
}

class Scan implements SourceTree {
  readonly root: DirectoryInode;
  readonly files: SourceFile[] = [];
  inodes = 1;
  blocks = 0;
  readonly #mtimeNs: bigint;

  constructor(mtimeNs: bigint) {
    this.#mtimeNs = mtimeNs;
    this.root = { type: "directory", entries: new Map(), ...this.#attributes(0o755) };
  }

  async run(path: Buffer): Promise<void> {
    const pending = [{ path, directory: this.root }];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const { directory } = next;
      const names = (await readdir(next.path, { encoding: "latin1" })).sort();
      const bytes = names.reduce((sum, name) => sum + entrySize(name), 2 * entrySize("."));
      // An indexed directory leaves a fifth of its leaves empty and has a root.
      this.blocks += bytes <= BLOCK_SIZE - 12 ? 1 : 2 + Math.ceil(bytes / (BLOCK_SIZE * 0.7));
      this.inodes += names.length;
      for (const name of names) {
        const child = Buffer.concat([next.path, SLASH, Buffer.from(name, "latin1")]);
        const subdirectory = await this.#add(directory, name, child);
        if (subdirectory !== undefined) pending.push({ path: child, directory: subdirectory });
      }
    }
  }

  async #add(parent: DirectoryInode, name: string, path: Buffer): Promise<DirectoryInode | undefined> {
    const stat = await lstat(path);
    if (stat.isDirectory()) {
      const directory: DirectoryInode = {
        type: "directory",
        entries: new Map(),
        ...this.#attributes(0o755),
      };
      parent.entries.set(name, directory);
      return directory;
    }
    if (stat.isFile()) {
      this.files.push({ path, size: stat.size, executable: (stat.mode & 0o111) !== 0, parent, name });
      this.blocks += blocksFor(stat.size);
    } else if (stat.isSymbolicLink()) {
      const target = await readlink(path, { encoding: "latin1" });
      parent.entries.set(name, { type: "symlink", target, links: 1, ...this.#attributes(0o777) });
      this.blocks += target.length > MAX_FAST_SYMLINK ? 1 : 0;
    } else throw unsupported(path);
    return undefined;
  }

  #attributes(mode: number): InodeAttributes {
    return { mode, uid: 0, gid: 0, mtimeNs: this.#mtimeNs };
  }
}

function unsupported(path: Buffer): KilnError {
  return new KilnError(
    Code.InvalidArgument,
    `copy ${path}: only files, directories and symlinks can go to a disk`,
    {
      reason: "unsupported-file-type",
      hint: "remove it from the directory",
    },
  );
}
