// The shared directory, found by the name that the user gave and held as a descriptor from then on.

import { constants, type Stats } from "node:fs";
import { type FileHandle, open, readlink } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { Code, KilnError } from "../base/errors.js";
import { O_PATH } from "../base/pinned.js";
import { identityOf, type SourceIdentity } from "./identity.js";
import { checkLinks } from "./links.js";
import type { ShareSpec } from "./types.js";

export interface OpenSource extends AsyncDisposable {
  /** O_PATH descriptor of the directory. */
  readonly fd: number;
  /** Name in it of the one file that is shared; undefined where all of it is. */
  readonly file: string | undefined;
  /** Of what is shared. */
  readonly stats: Stats;
  readonly identity: SourceIdentity;
}

type SourceSpec = Pick<ShareSpec, "source" | "guestPlaces">;

/**
 * Links are followed as in every path that a user gives, but for those that a guest may have made. A file is given to the
 * server as its directory and its name, and one that is a link as what it leads to: the server follows none.
 *
 * @throws KilnError not_found `share-source-missing`; permission_denied; invalid_argument `bad-share-source`;
 *   failed_precondition `share-source-linked`
 */
export async function openSource({ source, guestPlaces }: SourceSpec): Promise<OpenSource> {
  const handle = await openPath(source, source);
  try {
    const stats = await handle.stat();
    const path = await pathOf(handle);
    await checkLinks(source, path, guestPlaces?.() ?? []);
    if (stats.isDirectory()) return await held(handle, path, undefined, stats);
    if (!stats.isFile()) throw notShareable(source);
    // What was removed since has a name that says so, and is nowhere.
    if (!path.startsWith("/") || path.endsWith(" (deleted)")) throw missing(source);
    const directory = await openPath(dirname(path), source);
    try {
      const place = await pathOf(directory);
      if (place !== dirname(path)) throw missing(source);
      const opened = await held(directory, place, basename(path), stats);
      await handle.close();
      return opened;
    } catch (error) {
      await directory.close();
      throw error;
    }
  } catch (error) {
    await handle.close().catch(() => undefined);
    throw error;
  }
}

/** Where it lies now, with no link on the way. */
function pathOf(handle: FileHandle): Promise<string> {
  return readlink(`/proc/self/fd/${handle.fd}`);
}

async function openPath(path: string, source: string): Promise<FileHandle> {
  try {
    return await open(path, O_PATH | constants.O_RDONLY);
  } catch (error) {
    const failure = KilnError.from(error, `share ${source}`);
    throw failure.code === Code.NotFound ? missing(source, error) : failure;
  }
}

async function held(
  handle: FileHandle,
  place: string,
  file: string | undefined,
  stats: Stats,
): Promise<OpenSource> {
  const identity = await identityOf(handle, place, file);
  return { fd: handle.fd, file, stats, identity, [Symbol.asyncDispose]: () => handle.close() };
}

function missing(source: string, cause?: unknown): KilnError {
  return new KilnError(Code.NotFound, `share ${source}: there is no such file or directory`, {
    reason: "share-source-missing",
    hint: "make it first; a volume's name has no slash",
    cause,
  });
}

function notShareable(source: string): KilnError {
  return new KilnError(Code.InvalidArgument, `share ${source}: it is neither a directory nor a file`, {
    reason: "bad-share-source",
    hint: "a block device is given by `--mount type=device,src=...`",
  });
}
