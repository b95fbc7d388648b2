// What programs do with paths of a running VM: list, make, remove, rename, watch. Paths are bytes, as Linux has them.

import type { DirectoryEntry, FileEvent, NewDirectory } from "../../agent/index.js";
import { Code, KilnError } from "../../base/errors.js";
import { runningSession } from "../run/vm-access.js";
import type { VmEntry } from "../vm/entry.js";

const CALL_MS = 30_000;
/** PATH_MAX: the guest's kernel takes no longer ones, and believes none. */
const MOST_PATH_BYTES = 4096;

export async function* listDirectory(
  entry: VmEntry,
  path: Uint8Array,
  signal: AbortSignal | undefined,
): AsyncGenerator<DirectoryEntry[]> {
  requirePath(path);
  const session = await runningSession(entry, "list a directory of", signal);
  try {
    yield* session.files.list(path, asked(signal));
  } catch (error) {
    signal?.throwIfAborted();
    throw KilnError.from(error, `list ${shown(path)} in VM ${entry.name}`);
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
    return await session.files.makeDirectory(directory, options);
  } catch (error) {
    signal?.throwIfAborted();
    throw KilnError.from(error, `make the directory ${shown(directory.path)} in VM ${entry.name}`);
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
    await session.files.remove(what, asked(signal));
  } catch (error) {
    signal?.throwIfAborted();
    throw KilnError.from(error, `remove ${shown(what.path)} in VM ${entry.name}`);
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
    await session.files.rename(what, { timeoutMs: CALL_MS, ...asked(signal) });
  } catch (error) {
    signal?.throwIfAborted();
    throw KilnError.from(error, `rename ${shown(what.from)} to ${shown(what.to)} in VM ${entry.name}`);
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
    yield* session.files.watch(what, asked(signal));
  } catch (error) {
    signal?.throwIfAborted();
    throw KilnError.from(error, `watch ${shown(what.path)} in VM ${entry.name}`);
  }
}

const asked = (signal: AbortSignal | undefined) => (signal === undefined ? {} : { signal });

const shown = (path: Uint8Array) => Buffer.from(path).toString("utf8");

function requirePath(path: Uint8Array): void {
  if (path.length > 0 && path.length < MOST_PATH_BYTES && path[0] === 0x2f && !path.includes(0)) return;
  const message = "a path must be absolute, shorter than 4096 bytes and without a NUL byte";
  throw new KilnError(Code.InvalidArgument, message, { reason: "bad-path" });
}
