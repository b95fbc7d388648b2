// Objects on disk: <root>/<id>/ with a record (what was asked), perhaps a status (what is), and whatever else is the
// object's. One comes into being by one rename and leaves by one rename, so a kill at any point leaves a whole object
// or a directory whose name says that it is rubbish.

import { chmod, mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { Code, errnoOf, KilnError } from "./errors.js";
import type { StoreStep } from "./failpoint.js";
import { makeDirectory, syncDirectory, TEMP_MARK } from "./files.js";
import { HalfMade } from "./half-made.js";
import { COPY_SUFFIX, writeKept, writeKeptNew } from "./kept-file.js";
import type { Logger } from "./log.js";
import { type Form, modeOf, type Reading, readForm, tellDamage, type Versioned } from "./record-form.js";
import { allEnded } from "./runtime.js";
import { UndoStack } from "./undo.js";

const CREATING = ".creating-";
const REMOVING = ".removing-";
const PRIVATE = 0o700;
const LEFT_OVER = "what is left of an object can't be removed";

export interface FileForm<T extends Versioned> extends Form<T> {
  /** "vm.json". */
  readonly file: string;
}

export interface ObjectKind<R extends Versioned, S extends Versioned = never> {
  /** For messages: "VM". */
  readonly noun: string;
  readonly root: string;
  /** Matches the whole name of an object's directory, and none that begins with a dot. */
  readonly id: RegExp;
  readonly record: FileForm<R>;
  readonly status?: FileForm<S>;
  /** How the names of things in the making began in earlier releases: ".building-". */
  readonly oldPrefixes?: readonly string[];
  /** Names in the root that are no object's and belong there all the same. */
  readonly beside?: RegExp;
  /** Whatever the umask, and whatever an earlier release gave. Default 0700 for both. */
  readonly modes?: { readonly root?: number; readonly directory?: number };
  readonly log: Logger;
  readonly onStep?: (step: StoreStep, id: string) => void | Promise<void>;
}

/** An object as it was found. */
export interface LoadedObject<R, S> {
  readonly id: string;
  readonly record: Reading<R>;
  /** undefined for a kind without one. */
  readonly status: Reading<S> | undefined;
}

/** What a new object says of itself. */
export interface Draft<R, S> {
  readonly record: R;
  readonly status?: S;
}

/** Whoever changes an object holds that object's lock: two changes of one id at a time are the caller's mistake. */
export class ObjectStore<R extends Versioned, S extends Versioned = never> {
  readonly #kind: ObjectKind<R, S>;
  readonly #half: HalfMade;

  constructor(kind: ObjectKind<R, S>) {
    this.#kind = kind;
    this.#half = new HalfMade(kind.root, [CREATING, REMOVING, ...(kind.oldPrefixes ?? [])]);
  }

  /** Where all of them lie. */
  get root(): string {
    return this.#kind.root;
  }

  /** The object's directory, or something in it. */
  path(id: string, ...names: readonly string[]): string {
    // "" or ".." would name the root, or what is around it.
    if (this.#kind.id.test(id)) return join(this.root, id, ...names);
    throw new KilnError(Code.Internal, `${this.#kind.noun} ${JSON.stringify(id)}: that is no id`, {
      reason: "bad-object-id",
    });
  }

  /**
   * Reads everything, and finishes removals and creations that a kill cut. No object is left out, whatever became of
   * its files, and none is moved: something may be running of it.
   */
  async load(): Promise<LoadedObject<R, S>[]> {
    const { id, modes } = this.#kind;
    await makeDirectory(this.root, modes?.root ?? PRIVATE);
    await this.#setMode(this.root, modes?.root);
    const objects: LoadedObject<R, S>[] = [];
    for (const name of (await readdir(this.root)).sort()) {
      if (this.#half.is(name)) await this.#sweep(join(this.root, name));
      else if (id.test(name)) objects.push(await this.#loadOne(name));
      else if (name.includes(TEMP_MARK)) await this.#sweep(join(this.root, name));
    }
    return objects;
  }

  /**
   * Makes an object. Nobody sees it before all of it is there; whatever fails leaves nothing.
   *
   * @param draft written beside the filling; or made of what that has found out
   * @param fill gets the directory, and sees to what it makes in it being on disk
   * @throws KilnError already_exists `<noun>-exists`, and what `fill` throws
   */
  create<F>(
    id: string,
    draft: Draft<R, S> | ((filled: F) => Draft<R, S>),
    fill: (directory: string) => Promise<F>,
  ): Promise<Draft<R, S>> {
    return this.#half.at(CREATING + id, () => this.#make(id, draft, fill, false));
  }

  /**
   * The same where there may be one already: it gives way. For what can be made again, since a kill between its going
   * and the new one's coming leaves neither. Who has a file of the old one open keeps it.
   */
  replace<F>(
    id: string,
    draft: Draft<R, S> | ((filled: F) => Draft<R, S>),
    fill: (directory: string) => Promise<F>,
  ): Promise<Draft<R, S>> {
    const make = () => this.#make(id, draft, fill, true);
    return this.#half.at(CREATING + id, () => this.#half.at(REMOVING + id, make));
  }

  /** On disk when it resolves. */
  saveRecord(id: string, record: R): Promise<void> {
    const form = this.#kind.record;
    return writeKept(this.path(id, form.file), record, modeOf(form));
  }

  /** @param durable true where a power cut must not forget it */
  saveStatus(id: string, status: S, durable: boolean): Promise<void> {
    const form = this.#statusForm();
    return writeKept(this.path(id, form.file), status, { ...modeOf(form), durable });
  }

  /**
   * Gone at once for everybody; the files go after it. Again where that failed, it goes on.
   *
   * @param gone called as soon as it is; where this rejects before, it is there as it was
   */
  async remove(id: string, gone: () => void = () => undefined): Promise<void> {
    await this.#half.at(REMOVING + id, async () => {
      const renamed = await this.#putAside(id);
      gone();
      if (renamed) await this.#kind.onStep?.("remove.renamed", id);
      await rm(this.#dying(id), { recursive: true, force: true });
    });
  }

  /** What lies in the root and belongs to no object; what is being made or removed at this moment does. */
  async strays(known: ReadonlySet<string>): Promise<string[]> {
    const { beside } = this.#kind;
    const names = await readdir(this.root);
    return names
      .filter((name) => !known.has(name) && !this.#half.is(name) && !name.includes(TEMP_MARK))
      .filter((name) => beside?.test(name) !== true)
      .concat(await this.#half.leftovers())
      .map((name) => join(this.root, name));
  }

  /** Tries again what a removal could not take away. @returns the bytes that came back */
  async clearLeftovers(): Promise<number> {
    const { bytes, failed } = await this.#half.clear();
    for (const { path, error } of failed) this.#warn(LEFT_OVER, path, error);
    return bytes;
  }

  async #make<F>(
    id: string,
    draft: Draft<R, S> | ((filled: F) => Draft<R, S>),
    fill: (directory: string) => Promise<F>,
    replace: boolean,
  ): Promise<Draft<R, S>> {
    const { onStep } = this.#kind;
    const place = this.path(id);
    const making = join(this.root, CREATING + id);
    await using undo = new UndoStack();
    undo.push(`remove ${making}`, () => rm(making, { recursive: true, force: true }));
    await this.#makeEmpty(making);
    await onStep?.("create.begun", id);
    const made = await this.#fill(making, draft, fill);
    await syncDirectory(making);
    await onStep?.("create.filled", id);
    if (replace && (await this.#putAside(id))) {
      undo.push(`bring ${place} back`, () => rename(this.#dying(id), place));
      await onStep?.("create.aside", id);
    }
    await rename(making, place).catch((error: unknown) => {
      throw isOccupied(error) ? this.#exists(id) : error;
    });
    undo.commit();
    await onStep?.("create.renamed", id);
    await syncDirectory(this.root);
    if (replace) await this.#sweep(this.#dying(id));
    return made;
  }

  /** What an earlier try could not remove goes first. */
  async #makeEmpty(directory: string): Promise<void> {
    const mode = this.#kind.modes?.directory;
    try {
      await mkdir(directory, { mode: mode ?? PRIVATE });
    } catch (error) {
      if (errnoOf(error) !== "EEXIST") throw error;
      await rm(directory, { recursive: true, force: true });
      await mkdir(directory, { mode: mode ?? PRIVATE });
    }
    // mkdir's own mode is cut by the umask.
    if (mode !== undefined) await chmod(directory, mode);
  }

  async #fill<F>(
    directory: string,
    draft: Draft<R, S> | ((filled: F) => Draft<R, S>),
    fill: (directory: string) => Promise<F>,
  ): Promise<Draft<R, S>> {
    if (typeof draft === "function") {
      const found = draft(await fill(directory));
      await this.#writeDraft(directory, found);
      return found;
    }
    // Each to its end: what is still being written would come after the removal of what has failed.
    await allEnded([fill(directory), this.#writeDraft(directory, draft)]);
    return draft;
  }

  async #writeDraft(directory: string, { record, status }: Draft<R, S>): Promise<void> {
    const form = this.#kind.record;
    const written = writeKeptNew(join(directory, form.file), record, modeOf(form));
    await allEnded(status === undefined ? [written] : [written, this.#writeStatus(directory, status)]);
  }

  #writeStatus(directory: string, status: S): Promise<void> {
    const form = this.#statusForm();
    return writeKeptNew(join(directory, form.file), status, modeOf(form));
  }

  /** @returns false where there is none */
  async #putAside(id: string): Promise<boolean> {
    const place = this.path(id);
    const dying = this.#dying(id);
    try {
      await rename(place, dying);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return false;
      if (!isOccupied(error)) throw error;
      // Of an earlier removal that failed half way.
      await rm(dying, { recursive: true, force: true });
      await rename(place, dying);
    }
    return true;
  }

  async #loadOne(id: string): Promise<LoadedObject<R, S>> {
    const { record, status, modes } = this.#kind;
    const directory = this.path(id);
    await this.#setMode(directory, modes?.directory);
    const names = await readdir(directory).catch(() => []);
    for (const name of names.filter((each) => this.#isTornFile(each))) {
      await this.#sweep(join(directory, name));
    }
    return {
      id,
      record: await this.#read(directory, record, id),
      status: status === undefined ? undefined : await this.#read(directory, status, id),
    };
  }

  async #read<T extends Versioned>(directory: string, form: FileForm<T>, id: string): Promise<Reading<T>> {
    const path = join(directory, form.file);
    const reading = await readForm(path, form, id);
    tellDamage(this.#kind.log, path, reading);
    return reading;
  }

  /** A record or status that a kill has cut in the writing. What else an object keeps is its owner's to tidy. */
  #isTornFile(name: string): boolean {
    const { record, status } = this.#kind;
    const files = [record.file, ...(status === undefined ? [] : [status.file])];
    return files.some((file) => [file, file + COPY_SUFFIX].some((path) => name.startsWith(path + TEMP_MARK)));
  }

  /** Rubbish that can't be removed keeps nobody from the objects beside it. */
  async #sweep(path: string): Promise<void> {
    try {
      await rm(path, { recursive: true, force: true });
    } catch (error) {
      this.#warn(LEFT_OVER, path, error);
    }
  }

  async #setMode(path: string, wanted = PRIVATE): Promise<void> {
    try {
      const found = await stat(path);
      if (found.isDirectory() && (found.mode & 0o7777) !== wanted) await chmod(path, wanted);
    } catch (error) {
      this.#warn("the mode of a directory can't be set", path, error);
    }
  }

  #warn(message: string, path: string, error: unknown): void {
    this.#kind.log.warn(message, { path, why: KilnError.from(error).message });
  }

  #dying(id: string): string {
    return join(this.root, REMOVING + id);
  }

  #statusForm(): FileForm<S> {
    const { noun, status } = this.#kind;
    if (status === undefined) throw new TypeError(`a ${noun} has no status`);
    return status;
  }

  #exists(id: string): KilnError {
    const { noun } = this.#kind;
    return new KilnError(Code.AlreadyExists, `make ${noun} ${id}: there is one`, {
      reason: `${noun.toLowerCase()}-exists`,
    });
  }
}

/** rename(2) found something where the new name is. */
function isOccupied(error: unknown): boolean {
  return ["ENOTEMPTY", "EEXIST", "EISDIR", "ENOTDIR"].includes(errnoOf(error) ?? "");
}
