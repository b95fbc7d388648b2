// What programs do with paths of a running VM: list, make, remove, rename, watch. Paths are bytes, as Linux has them.

import { Code, KilnError } from "../../base/errors.js";
import {
  type DirectoryEntry,
  FileEventKind,
  type FileEvent as GuestFileEvent,
} from "../../gen/kiln/agent/v1/files_pb.js";
import { fromAgent } from "../common/agent-errors.js";
import { runningSession } from "../run/vm-access.js";
import type { VmEntry } from "../vm/entry.js";

const CALL_MS = 30_000;
/** PATH_MAX: the guest's kernel takes no longer ones, and believes none. */
const MOST_PATH_BYTES = 4096;

export type { DirectoryEntry } from "../../gen/kiln/agent/v1/files_pb.js";

export type FileEventWord = "created" | "modified" | "attributes" | "removed" | "renamed" | "overflow";

/** A change of a file or directory that is watched in a guest. */
export interface FileEvent {
  readonly kind: FileEventWord;
  readonly path: Uint8Array;
  /** Of "renamed". */
  readonly to: Uint8Array;
  readonly directory: boolean;
}

export interface NewDirectory {
  readonly path: Uint8Array;
  readonly recursive: boolean;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

const WORDS: Readonly<Partial<Record<FileEventKind, FileEventWord>>> = {
  [FileEventKind.CREATED]: "created",
  [FileEventKind.MODIFIED]: "modified",
  [FileEventKind.ATTRIBUTES]: "attributes",
  [FileEventKind.REMOVED]: "removed",
  [FileEventKind.RENAMED]: "renamed",
  [FileEventKind.OVERFLOW]: "overflow",
};

export async function* listDirectory(
  entry: VmEntry,
  path: Uint8Array,
  signal: AbortSignal | undefined,
): AsyncGenerator<DirectoryEntry[]> {
  requirePath(path);
  const session = await runningSession(entry, "list a directory of", signal);
  try {
    for await (const { entries } of session.client.listDirectory({ path }, asked(signal))) yield entries;
  } catch (error) {
    signal?.throwIfAborted();
    throw fromAgent(error, `list ${shown(path)} in VM ${entry.name}`);
  }
}

/** @returns whether it was made: with `recursive` it may be there */
export async function makeDirectory(
  entry: VmEntry,
  directory: NewDirectory,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  requirePath(directory.path);
  const session = await runningSession(entry, "make a directory in", signal);
  try {
    const options = { timeoutMs: CALL_MS, ...asked(signal) };
    return (await session.client.makeDirectory({ ...directory }, options)).made;
  } catch (error) {
    signal?.throwIfAborted();
    throw fromAgent(error, `make the directory ${shown(directory.path)} in VM ${entry.name}`);
  }
}

export async function removePath(
  entry: VmEntry,
  what: { readonly path: Uint8Array; readonly recursive: boolean; readonly force: boolean },
  signal: AbortSignal | undefined,
): Promise<void> {
  requirePath(what.path);
  const session = await runningSession(entry, "remove files of", signal);
  try {
    // However long a tree takes: the caller sets the limit.
    await session.client.removePath({ ...what }, asked(signal));
  } catch (error) {
    signal?.throwIfAborted();
    throw fromAgent(error, `remove ${shown(what.path)} in VM ${entry.name}`);
  }
}

export async function renamePath(
  entry: VmEntry,
  what: { readonly from: Uint8Array; readonly to: Uint8Array; readonly noReplace: boolean },
  signal: AbortSignal | undefined,
): Promise<void> {
  requirePath(what.from);
  requirePath(what.to);
  const session = await runningSession(entry, "rename files of", signal);
  try {
    await session.client.renamePath({ ...what }, { timeoutMs: CALL_MS, ...asked(signal) });
  } catch (error) {
    signal?.throwIfAborted();
    throw fromAgent(error, `rename ${shown(what.from)} to ${shown(what.to)} in VM ${entry.name}`);
  }
}

/** The first item is empty: from there on nothing is missed. Ends when the path is gone. */
export async function* watchPath(
  entry: VmEntry,
  what: { readonly path: Uint8Array; readonly recursive: boolean },
  signal: AbortSignal | undefined,
): AsyncGenerator<FileEvent[]> {
  requirePath(what.path);
  const session = await runningSession(entry, "watch files of", signal);
  try {
    for await (const { ready, events } of session.client.watchPath({ ...what }, asked(signal))) {
      const known = events.flatMap(toEvent);
      if (ready || known.length > 0) yield known;
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw fromAgent(error, `watch ${shown(what.path)} in VM ${entry.name}`);
  }
}

/** A kind that a later agent may have is no event of ours. */
function toEvent({ kind, path, to, directory }: GuestFileEvent): FileEvent[] {
  const word = WORDS[kind];
  return word === undefined ? [] : [{ kind: word, path, to, directory }];
}

const asked = (signal: AbortSignal | undefined) => (signal === undefined ? {} : { signal });

const shown = (path: Uint8Array) => Buffer.from(path).toString("utf8");

function requirePath(path: Uint8Array): void {
  if (path.length > 0 && path.length < MOST_PATH_BYTES && path[0] === 0x2f && !path.includes(0)) return;
  const message = "a path must be absolute, shorter than 4096 bytes and without a NUL byte";
  throw new KilnError(Code.InvalidArgument, message, { reason: "bad-path" });
}
