// A tar stream unpacked below a local directory. The stream comes from a guest, so it is hostile: nothing is written
// outside the directory, no symbolic link is ever walked through, no set-user-id bit or owner is taken over unasked.

import { constants } from "node:fs";
import {
  chmod,
  chown,
  lchown,
  link,
  lstat,
  lutimes,
  mkdir,
  open,
  symlink,
  unlink,
  utimes,
} from "node:fs/promises";
import { Code, errnoOf, KilnError } from "../base/errors.js";
import type { TarEntry } from "../base/tar-format.js";
import { readTar, type TarMember } from "../base/tar-stream.js";
import { type DirectoryAttributes, HeldDirectories } from "./held-directories.js";
import { writeSparsely } from "./sparse-file.js";

/** PATH_MAX, without its NUL. */
const MAX_PATH_BYTES = 4095;

const WORDS: Readonly<Record<string, string>> = {
  char: "character devices",
  block: "block devices",
  fifo: "FIFOs",
};

/** Options of extractTree(). */
export interface ExtractOptions {
  /** Gives the path below the directory, bytes as latin1; undefined leaves the entry out. Default: its own name. */
  readonly rename?: ((name: string) => string | undefined) | undefined;
  /** Keeps owner, group, set-user-id and set-group-id as the archive has them. Needs root. */
  readonly keepOwner?: boolean | undefined;
  /** Told of what is left out: devices and fifos. */
  readonly onSkip?: ((path: string, why: string) => void) | undefined;
}

/** What was written. */
export interface ExtractResult {
  readonly entries: number;
  readonly bytes: number;
}

/**
 * Unpacks. A directory is never replaced by something else; a file, link or fifo in the way is.
 *
 * @param directory must exist
 * @throws KilnError data_loss `bad-archive`, permission_denied `unsafe-path`; a Node system error of what could not be written
 */
export async function extractTree(
  source: AsyncIterable<Uint8Array>,
  directory: string,
  options: ExtractOptions = {},
): Promise<ExtractResult> {
  const extraction = new Extraction(directory, options);
  for await (const member of readTar(source)) await extraction.add(member);
  return extraction.finish();
}

class Extraction {
  readonly #root: Buffer;
  readonly #options: ExtractOptions;
  /**
   * Real ones: we never remove a directory, so they stay so. What they shall become is applied at the end: a read-only
   * one must still be filled, and filling changes its time.
   */
  readonly #directories = new HeldDirectories();
  #entries = 0;
  #bytes = 0;

  constructor(directory: string, options: ExtractOptions) {
    this.#root = Buffer.from(directory);
    this.#options = options;
  }

  async add({ entry, data }: TarMember): Promise<void> {
    const name = this.#place(entry.name);
    if (name === undefined) return;
    await this.#requireDirectory(parentOf(name));
    this.#entries++;
    if (entry.type === "directory") return this.#addDirectory(name, entry);
    if (entry.type === "file") return this.#addFile(name, entry, data);
    if (entry.type === "symlink") return this.#addSymlink(name, entry);
    if (entry.type === "hardlink") return this.#addHardlink(name, entry);
    this.#entries--;
    this.#options.onSkip?.(entry.name, `${WORDS[entry.type] ?? entry.type} are not copied`);
  }

  async finish(): Promise<ExtractResult> {
    await this.#dress(this.#directories.rest());
    return { entries: this.#entries, bytes: this.#bytes };
  }

  async #addDirectory(name: string, entry: TarEntry): Promise<void> {
    await this.#requireDirectory(name);
    if (name !== "") await this.#dress(this.#directories.later(name, entry));
  }

  async #dress(directories: readonly [string, DirectoryAttributes][]): Promise<void> {
    for (const [name, attributes] of directories) await this.#applyAttributes(this.#path(name), attributes);
  }

  async #addFile(name: string, entry: TarEntry, data: AsyncIterable<Uint8Array>): Promise<void> {
    const path = await this.#clear(name);
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const file = await open(path, flags, 0o600);
    try {
      this.#bytes += await writeSparsely(file, data);
    } finally {
      await file.close();
    }
    await this.#applyAttributes(path, entry);
  }

  async #addSymlink(name: string, entry: TarEntry): Promise<void> {
    const path = await this.#clear(name);
    await symlink(Buffer.from(entry.linkName, "latin1"), path);
    if (this.#options.keepOwner === true) await lchown(path, entry.uid, entry.gid);
    const time = timeOf(entry);
    await lutimes(path, time, time);
  }

  async #addHardlink(name: string, entry: TarEntry): Promise<void> {
    const target = this.#place(entry.linkName);
    if (target === undefined || target === "")
      throw unsafe(entry.linkName, "a hard link leads out of the archive");
    // link(2) does not follow the last component, and the ones before it are checked here.
    await this.#requireDirectory(parentOf(target));
    if (target === name) return;
    await link(this.#path(target), await this.#clear(name));
  }

  /** Where an entry goes, checked component by component. */
  #place(name: string): string | undefined {
    const renamed = this.#options.rename === undefined ? name : this.#options.rename(name);
    if (renamed === undefined) return undefined;
    if (renamed.startsWith("/")) throw unsafe(name, "it is absolute");
    const parts = renamed.split("/").filter((part) => part !== "" && part !== ".");
    if (parts.includes("..")) throw unsafe(name, 'it climbs with ".."');
    if (parts.some((part) => part.includes("\0"))) throw unsafe(name, "it holds a NUL");
    const path = parts.join("/");
    if (path.length > MAX_PATH_BYTES) throw tooLong(path);
    return path;
  }

  /** Makes sure that every component of `name` is a directory and no link, making those that are missing. */
  async #requireDirectory(name: string): Promise<void> {
    const missing: string[] = [];
    for (let at = name; !this.#directories.isReal(at); at = parentOf(at)) missing.push(at);
    for (const at of missing.reverse()) await this.#makeDirectory(at);
  }

  /** @param name whose parent is a real directory */
  async #makeDirectory(name: string): Promise<void> {
    const path = this.#path(name);
    try {
      await mkdir(path, 0o755);
    } catch (error) {
      if (errnoOf(error) !== "EEXIST") throw error;
      if (!(await lstat(path)).isDirectory()) throw unsafe(name, "it is in the way and no directory");
    }
    this.#directories.noteReal(name);
  }

  /** Removes what is at `name`, unless it is a directory; gives its path. */
  async #clear(name: string): Promise<Buffer> {
    if (name === "") throw unsafe(name, "the archive replaces its own root");
    const path = this.#path(name);
    try {
      await unlink(path);
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === "EISDIR" || errno === "EPERM") throw unsafe(name, "a directory is in the way");
      if (errno !== "ENOENT") throw error;
    }
    return path;
  }

  #path(name: string): Buffer {
    return name === "" ? this.#root : Buffer.concat([this.#root, Buffer.from(`/${name}`, "latin1")]);
  }

  async #applyAttributes(path: Buffer, entry: DirectoryAttributes): Promise<void> {
    const keep = this.#options.keepOwner === true;
    if (keep) await chown(path, entry.uid, entry.gid);
    // A guest's set-user-id program would be ours on the host: the bits only come along with the owner.
    await chmod(path, entry.mode & (keep ? 0o7777 : 0o1777));
    const time = timeOf(entry);
    await utimes(path, time, time);
  }
}

/**
 * For utimes(): it takes a negative number for "now", but not the same in words.
 */
function timeOf({ mtimeMs }: Pick<TarEntry, "mtimeMs">): number | string {
  return mtimeMs < 0 ? String(mtimeMs / 1000) : mtimeMs / 1000;
}

function parentOf(name: string): string {
  const slash = name.lastIndexOf("/");
  return slash < 0 ? "" : name.slice(0, slash);
}

function tooLong(name: string): KilnError {
  const start = Buffer.from(name.slice(0, 60), "latin1").toString("utf8");
  return new KilnError(
    Code.InvalidArgument,
    `unpack "${start}…": its path of ${name.length} bytes is too long for Linux`,
    { reason: "path-too-long", hint: "pack it inside the VM, for example with `kiln exec VM tar`" },
  );
}

function unsafe(name: string, why: string): KilnError {
  const shown = Buffer.from(name, "latin1").toString("utf8");
  return new KilnError(Code.PermissionDenied, `unpack "${shown}": ${why}`, {
    reason: "unsafe-path",
    hint: "the archive comes from the guest; nothing outside the target directory was touched",
  });
}
