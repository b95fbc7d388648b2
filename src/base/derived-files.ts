// Files that are made of something else and can be made again: <root>/<id>.ext4 of a kernel's modules. One appears by
// one rename, whole or not at all.

import { chmod, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { allocatedBytes, makeDirectory, syncDirectory, TEMP_MARK, tempNameFor } from "./files.js";
import { removeFile, renameInto } from "./move-aside.js";
import { UndoStack } from "./undo.js";

export interface DerivedKind {
  /** Only kilnd enters it. */
  readonly root: string;
  /** Matches a whole id. */
  readonly id: RegExp;
  /** ".ext4". */
  readonly ending: string;
}

/** Two makers of one id at a time are the caller's mistake. */
export class DerivedFiles {
  readonly #kind: DerivedKind;

  constructor(kind: DerivedKind) {
    this.#kind = kind;
  }

  path(id: string): string {
    return join(this.#kind.root, id + this.#kind.ending);
  }

  /** Removes what a kill left half made. @returns the ids of those that are there */
  async open(): Promise<string[]> {
    const { root } = this.#kind;
    await makeDirectory(root);
    await chmod(root, 0o700);
    for (const name of await readdir(root)) {
      if (name.includes(TEMP_MARK)) await rm(join(root, name), { recursive: true, force: true });
    }
    return this.ids();
  }

  async ids(): Promise<string[]> {
    const ids = (await readdir(this.#kind.root)).map((name) => this.#idOf(name));
    return ids.filter((id) => id !== undefined).sort();
  }

  /** An empty one is what a power cut may leave. */
  async has(id: string): Promise<boolean> {
    return (await allocatedBytes(this.path(id))) > 0;
  }

  /** @param fill makes the file of that name. @returns its path */
  async make(id: string, fill: (temp: string) => Promise<void>): Promise<string> {
    const path = this.path(id);
    const temp = tempNameFor(path);
    await using undo = new UndoStack();
    undo.push(`remove ${temp}`, () => rm(temp, { force: true }));
    await fill(temp);
    await renameInto(temp, path);
    undo.commit();
    await syncDirectory(this.#kind.root);
    return path;
  }

  /** @returns the bytes that came back */
  async remove(id: string): Promise<number> {
    const bytes = await allocatedBytes(this.path(id));
    await removeFile(this.path(id));
    return bytes;
  }

  /** What belongs to none of these; what is being made does. */
  async strays(known: ReadonlySet<string>): Promise<string[]> {
    const { root } = this.#kind;
    const names = (await readdir(root)).filter((name) => !name.includes(TEMP_MARK));
    return names.filter((name) => !known.has(this.#idOf(name) ?? "")).map((name) => join(root, name));
  }

  #idOf(name: string): string | undefined {
    const { id, ending } = this.#kind;
    const stem = name.slice(0, -ending.length);
    return name.endsWith(ending) && id.test(stem) ? stem : undefined;
  }
}
