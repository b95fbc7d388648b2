// What lies in VMs: archives, for which a VM need not run, and paths of those that do. A VM is named as everywhere:
// by its full id, name or unique id prefix.

import type { DirectoryEntry, FileEvent, NewDirectory, PathStat } from "../../agent/index.js";
import type { EngineContext } from "../run/context.js";
import type { CopyOrder } from "../run/pending-copies.js";
import type { VmEntry } from "../vm/entry.js";
import { readArchive, statPath, type WriteOutcome, writeArchive } from "../workload/vm-files.js";
import { listDirectory, makeDirectory, removePath, renamePath, watchPath } from "../workload/vm-paths.js";

export class VmFiles {
  readonly #ctx: EngineContext;

  constructor(ctx: EngineContext) {
    this.#ctx = ctx;
  }

  /** A path as a tar stream whose names begin with the path's base name. */
  readArchive(
    key: string,
    path: string,
    followLink: boolean,
    signal?: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    return readArchive(this.#entry(key), path, followLink, signal);
  }

  /** Unpacks a tar stream; where the VM does not run it is kept for its next start. */
  async writeArchive(
    key: string,
    order: CopyOrder,
    tar: AsyncIterable<Uint8Array>,
    signal?: AbortSignal,
  ): Promise<WriteOutcome> {
    return writeArchive(this.#ctx, this.#entry(key), order, tar, signal);
  }

  async stat(key: string, path: string, signal?: AbortSignal): Promise<PathStat> {
    return statPath(this.#entry(key), path, signal);
  }

  list(key: string, path: Uint8Array, signal?: AbortSignal): AsyncGenerator<DirectoryEntry[]> {
    return listDirectory(this.#entry(key), path, signal);
  }

  /** @returns whether it was made: with `recursive` it may be there */
  async make(key: string, directory: NewDirectory, signal?: AbortSignal): Promise<boolean> {
    return makeDirectory(this.#entry(key), directory, signal);
  }

  async remove(
    key: string,
    what: { readonly path: Uint8Array; readonly recursive: boolean; readonly force: boolean },
    signal?: AbortSignal,
  ): Promise<void> {
    await removePath(this.#entry(key), what, signal);
  }

  async rename(
    key: string,
    what: { readonly from: Uint8Array; readonly to: Uint8Array; readonly noReplace: boolean },
    signal?: AbortSignal,
  ): Promise<void> {
    await renamePath(this.#entry(key), what, signal);
  }

  /** The first item is empty: from there on nothing is missed. Ends when the path is gone. */
  watch(
    key: string,
    what: { readonly path: Uint8Array; readonly recursive: boolean },
    signal?: AbortSignal,
  ): AsyncGenerator<FileEvent[]> {
    return watchPath(this.#entry(key), what, signal);
  }

  #entry(key: string): VmEntry {
    return this.#ctx.vms.find(key);
  }
}
