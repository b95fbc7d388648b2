// What `vm.fs` does with paths: list, mkdir, remove, rename, watch. A path is text, or where it is not UTF-8 its bytes.

import { anySignal } from "../base/abort.js";
import type { DirectoryEntryJson, FileEventJson, WatchPathResponseJson } from "../gen/kiln/v1/files_pb.js";
import { numberOf } from "./convert.js";
import type { CallOptions } from "./deadline.js";
import { CALL, checkOptions, type NamesOf } from "./known-options.js";
import type { Calls } from "./scoped-calls.js";

/** A path of a VM: text, or bytes where it is not UTF-8. */
export type VmPath = string | Uint8Array;

/** What something in a directory is. */
export type FileType = "file" | "directory" | "symlink" | "other";

/** One of the things that a directory holds, as lstat(2) has it. */
export interface DirectoryEntry {
  /** Without the directory. Bytes that are not UTF-8 are replaced. */
  readonly name: string;
  /** The same as it is: join it to the directory's path for calls about it. */
  readonly nameBytes: Uint8Array;
  readonly type: FileType;
  readonly size: number;
  /** st_mode: type and permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly modifiedAt: Date | undefined;
  /** Of a symbolic link; else "". Bytes that are not UTF-8 are replaced. */
  readonly linkTarget: string;
  readonly linkTargetBytes: Uint8Array;
}

/** Options of `vm.fs.mkdir()`. */
export interface MkdirOptions extends CallOptions {
  /** Makes parents too (0755), and is content with a directory that is there. */
  readonly recursive?: boolean | undefined;
  /** Permission bits. Default 0755. */
  readonly mode?: number | undefined;
  /** Numeric owner of what is made. Default: root. */
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
}

export const MKDIR_OPTIONS: NamesOf<MkdirOptions> = {
  ...CALL,
  recursive: true,
  mode: true,
  uid: true,
  gid: true,
};

/** Options of `vm.fs.remove()`. */
export interface RemovePathOptions extends CallOptions {
  /** A directory with all that is in it; else it must be empty. */
  readonly recursive?: boolean | undefined;
  /** Content where there is no such path. */
  readonly force?: boolean | undefined;
}

export const REMOVE_PATH_OPTIONS: NamesOf<RemovePathOptions> = { ...CALL, recursive: true, force: true };

/** Options of `vm.fs.rename()`. */
export interface RenameOptions extends CallOptions {
  /** false: refuses (already_exists) where something is at the new path. Default true, as rename(2). */
  readonly overwrite?: boolean | undefined;
}

const RENAME_OPTIONS: NamesOf<RenameOptions> = { ...CALL, overwrite: true };

/** Options of `vm.fs.watch()`. */
export interface WatchOptions extends CallOptions {
  /** All directories below it too, also those that come later. At most 8192. */
  readonly recursive?: boolean | undefined;
}

const WATCH_OPTIONS: NamesOf<WatchOptions> = { ...CALL, recursive: true };

/** Something that happened to a path. */
export interface FileChange {
  /**
   * "removed" also where it was moved out of what is watched. "overflow": more happened than could be told; look at
   * `path` anew.
   */
  readonly kind: "created" | "modified" | "attributes" | "removed" | "renamed" | "overflow";
  /** Begins with the path that is watched. Bytes that are not UTF-8 are replaced. */
  readonly path: string;
  readonly pathBytes: Uint8Array;
  /** Of "renamed": the new path; else undefined. */
  readonly to: string | undefined;
  readonly toBytes: Uint8Array | undefined;
  readonly isDirectory: boolean;
}

const S_IFMT = 0o170000;
const TYPES: ReadonlyMap<number, FileType> = new Map([
  [0o100000, "file"],
  [0o040000, "directory"],
  [0o120000, "symlink"],
]);

/** `path` and `pathBytes` of a request. */
export function pathOf(path: VmPath): { path: string } | { pathBytes: string } {
  return typeof path === "string" ? { path } : { pathBytes: Buffer.from(path).toString("base64") };
}

export async function listDirectory(
  calls: Calls,
  vm: string,
  path: VmPath,
  options: CallOptions,
): Promise<DirectoryEntry[]> {
  checkOptions("vm.fs.list()", options, CALL);
  const found: DirectoryEntry[] = [];
  const request = { vm, ...pathOf(path) };
  for await (const { entries } of calls.serverStream("VmService/ListDirectory", request, options)) {
    for (const entry of entries ?? []) found.push(toEntry(entry));
  }
  return found.sort((a, b) => Buffer.compare(a.nameBytes, b.nameBytes));
}

export async function renamePath(
  calls: Calls,
  vm: string,
  [from, to]: readonly [VmPath, VmPath],
  options: RenameOptions,
): Promise<void> {
  checkOptions("vm.fs.rename()", options, RENAME_OPTIONS);
  const old = typeof from === "string" ? { from } : { fromBytes: Buffer.from(from).toString("base64") };
  const next = typeof to === "string" ? { to } : { toBytes: Buffer.from(to).toString("base64") };
  const request = { vm, ...old, ...next, noReplace: options.overwrite === false };
  await calls.unary("VmService/RenamePath", request, options);
}

/** What happens below a path. Iterate it once; leaving the loop ends the watch. */
export class FileWatcher implements AsyncIterable<FileChange>, AsyncDisposable {
  readonly #messages: AsyncGenerator<WatchPathResponseJson, void>;
  readonly #stop: AbortController;

  private constructor(messages: AsyncGenerator<WatchPathResponseJson, void>, stop: AbortController) {
    this.#messages = messages;
    this.#stop = stop;
  }

  /** Resolves when the watch stands. */
  static async open(calls: Calls, vm: string, path: VmPath, options: WatchOptions): Promise<FileWatcher> {
    checkOptions("vm.fs.watch()", options, WATCH_OPTIONS);
    const { recursive = false, signal, timeoutMs } = options;
    const stop = new AbortController();
    const either = anySignal(stop.signal, signal);
    const request = { vm, ...pathOf(path), recursive };
    const messages = calls.serverStream("VmService/WatchPath", request, { signal: either, timeoutMs });
    await messages.next();
    return new FileWatcher(messages, stop);
  }

  /** Ends when the path is gone, or after close(). */
  async *[Symbol.asyncIterator](): AsyncGenerator<FileChange, void> {
    try {
      for await (const { events } of this.#messages) for (const event of events ?? []) yield toChange(event);
    } catch (error) {
      if (!this.#stop.signal.aborted) throw error;
    }
  }

  /** Ends the watch. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#messages.return().catch(() => undefined); // it has been ended from here
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function toEntry(json: DirectoryEntryJson): DirectoryEntry {
  const name = json.name ?? "";
  const mode = json.mode ?? 0;
  const linkTargetBytes = Buffer.from(json.linkTargetBytes ?? "", "base64");
  return {
    name,
    nameBytes: bytesOf(json.nameBytes, name),
    type: TYPES.get(mode & S_IFMT) ?? "other",
    size: numberOf(json.size),
    mode,
    uid: json.uid ?? 0,
    gid: json.gid ?? 0,
    modifiedAt: json.mtime === undefined ? undefined : new Date(json.mtime),
    linkTarget: linkTargetBytes.toString("utf8"),
    linkTargetBytes,
  };
}

function toChange(json: FileEventJson): FileChange {
  const path = json.path ?? "";
  const to = json.to || undefined;
  return {
    kind: (json.kind ?? "overflow") as FileChange["kind"],
    path,
    pathBytes: bytesOf(json.pathBytes, path),
    to,
    toBytes: to === undefined ? undefined : bytesOf(json.toBytes, to),
    isDirectory: json.directory ?? false,
  };
}

function bytesOf(base64: string | undefined, text: string): Uint8Array {
  return base64 ? Buffer.from(base64, "base64") : Buffer.from(text);
}
