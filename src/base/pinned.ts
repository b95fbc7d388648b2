// Opens what somebody less trusted can write to: by name once, without following a link, as a descriptor that says
// what it is. Everything after goes through the descriptor (/proc/self/fd/N), so that a name that is replaced
// meanwhile leads nowhere else.

import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { Code, KilnError } from "./errors.js";

/** open(2)'s O_PATH, which node:fs does not name: the same on every architecture that Node runs on. */
export const O_PATH = 0o10000000;

/** device: a block device. */
export type PinnedKind = "file" | "socket" | "fifo" | "directory" | "device";

export interface PinnedExpectation {
  readonly kind: PinnedKind;
  /** The users that may own it; undefined in directories that only kilnd writes. */
  readonly owners?: readonly number[] | undefined;
}

/** A file system object that was looked at and can't be exchanged any more. */
export class Pinned implements AsyncDisposable {
  readonly #handle: FileHandle;
  readonly sizeBytes: number;
  readonly uid: number;

  private constructor(handle: FileHandle, sizeBytes: number, uid: number) {
    this.#handle = handle;
    this.sizeBytes = sizeBytes;
    this.uid = uid;
  }

  /**
   * Directories on the way to `path` are followed as ever: the last one must be written by us only, or be pinned
   * itself and given as `directory.at(name)`.
   *
   * @throws KilnError not_found `no-such-file`; failed_precondition `not-as-expected` for a link, another kind, another
   *   owner, or a file with a second name
   */
  static async open(path: string, expected: PinnedExpectation): Promise<Pinned> {
    let handle: FileHandle;
    try {
      handle = await open(path, O_PATH | constants.O_NOFOLLOW);
    } catch (error) {
      throw KilnError.from(error);
    }
    try {
      const stats = await handle.stat();
      const wrong = whyUnexpected(stats, expected);
      if (wrong !== undefined) throw notAsExpected(path, wrong);
      return new Pinned(handle, stats.size, stats.uid);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  get fd(): number {
    return this.#handle.fd;
  }

  /** A name for this very object while it is pinned. */
  get path(): string {
    return `/proc/self/fd/${this.#handle.fd}`;
  }

  /** A name below this directory. */
  at(name: string): string {
    return `${this.path}/${name}`;
  }

  /** Opens it for reading or writing; the flags are open(2)'s, without O_CREAT. */
  reopen(flags: number): Promise<FileHandle> {
    return open(this.path, flags);
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** The open file, which is nothing but the file that was expected. @throws as `Pinned.open` */
export async function openPinned(
  path: string,
  owners: readonly number[],
  flags: number,
): Promise<FileHandle> {
  await using pinned = await Pinned.open(path, { kind: "file", owners });
  return await pinned.reopen(flags);
}

/** A connection to the unix socket of that name. @throws as `Pinned.open`, and unavailable where nobody listens */
export async function connectPinned(path: string, owners: readonly number[]): Promise<Socket> {
  await using pinned = await Pinned.open(path, { kind: "socket", owners });
  return await connectUnix(pinned.path);
}

/** A connected unix socket. @throws KilnError */
export function connectUnix(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const onError = (error: Error) => reject(KilnError.from(error));
    socket.once("error", onError);
    socket.once("connect", () => {
      socket.removeListener("error", onError);
      resolve(socket);
    });
  });
}

interface Facts {
  readonly uid: number;
  readonly nlink: number;
  isFile(): boolean;
  isSocket(): boolean;
  isFIFO(): boolean;
  isDirectory(): boolean;
  isBlockDevice(): boolean;
  isSymbolicLink(): boolean;
}

function whyUnexpected(stats: Facts, { kind, owners }: PinnedExpectation): string | undefined {
  const is = {
    file: stats.isFile(),
    socket: stats.isSocket(),
    fifo: stats.isFIFO(),
    directory: stats.isDirectory(),
    device: stats.isBlockDevice(),
  };
  if (!is[kind]) return stats.isSymbolicLink() ? "it is a symbolic link" : `it is no ${kind}`;
  if (owners === undefined) return undefined;
  if (!owners.includes(stats.uid)) return `it belongs to user ${stats.uid}`;
  // A second name would be another VM's file, or one of the host's, that was linked here.
  if (kind !== "directory" && stats.nlink !== 1) return `it has ${stats.nlink} names`;
  return undefined;
}

function notAsExpected(path: string, why: string): KilnError {
  return new KilnError(Code.FailedPrecondition, `open ${path}: ${why}`, {
    reason: "not-as-expected",
    hint: "something other than kiln has put it there",
  });
}
