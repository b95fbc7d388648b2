// Records that have no directory of their own: <root>/<id>.json, kept twice, perhaps with other files of that id beside
// it (pending/<number>.tar). The record comes last and goes first, so that a kill leaves a whole one or files without a
// record, which are rubbish.

import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "./errors.js";
import { type AtomicOptions, TEMP_MARK } from "./files.js";
import { COPY_SUFFIX, removeKept, writeKept } from "./kept-file.js";
import { DAMAGED_SUFFIX, removeFile } from "./move-aside.js";
import { type Form, modeOf, type Reading, readForm, type Versioned } from "./record-form.js";

const RECORD_SUFFIX = ".json";

export interface RecordFilesKind<R extends Versioned> {
  /** Whoever keeps records sees to its being there; until then there are none. */
  readonly root: string;
  /** Matches a whole id. */
  readonly id: RegExp;
  readonly form: Form<R>;
  /** Endings of what else a record has: ".tar". */
  readonly companions?: readonly string[];
}

export interface LoadedRecord<R> {
  readonly id: string;
  readonly record: Reading<R>;
}

export class RecordFiles<R extends Versioned> {
  readonly #kind: RecordFilesKind<R>;

  constructor(kind: RecordFilesKind<R>) {
    this.#kind = kind;
  }

  /** Of the record, or of what is beside it. */
  path(id: string, ending = RECORD_SUFFIX): string {
    return join(this.#kind.root, id + ending);
  }

  /** By id. None is left out: a record or a copy of one is enough, in whatever state. */
  async load(): Promise<LoadedRecord<R>[]> {
    const records: LoadedRecord<R>[] = [];
    for (const id of await this.ids()) {
      records.push({ id, record: await readForm(this.path(id), this.#kind.form, id) });
    }
    return records;
  }

  /** Of all that are there, in order. */
  async ids(): Promise<string[]> {
    const ids = (await this.#names()).map((name) => this.#idOf(name, [RECORD_SUFFIX, COPY]));
    return [...new Set(ids.filter((id) => id !== undefined))].sort();
  }

  /** What is beside it must be there and on disk. */
  save(id: string, record: R, options: Pick<AtomicOptions, "durable"> = {}): Promise<void> {
    return writeKept(this.path(id), record, { ...modeOf(this.#kind.form), ...options });
  }

  async remove(id: string): Promise<void> {
    await removeKept(this.path(id));
    for (const ending of this.#kind.companions ?? []) await removeFile(this.path(id, ending));
  }

  /** Removes what a kill left: half-written files, and companions without a record. Nobody may be writing. */
  async sweep(): Promise<void> {
    const whole = new Set(await this.ids());
    for (const name of await this.#names()) {
      const companion = this.#idOf(name, this.#kind.companions ?? []);
      const isRubbish = name.includes(TEMP_MARK) || (companion !== undefined && !whole.has(companion));
      if (isRubbish) await rm(join(this.#kind.root, name), { recursive: true, force: true });
    }
  }

  /** What belongs to none of these; what is being written does. */
  async strays(known: ReadonlySet<string>): Promise<string[]> {
    const endings = [RECORD_SUFFIX, COPY, DAMAGED, ...(this.#kind.companions ?? [])];
    const names = (await this.#names()).filter((name) => !name.includes(TEMP_MARK));
    return names
      .filter((name) => {
        const id = this.#idOf(name, endings) ?? this.#idOf(name.replace(DAMAGED_LONGER, ""), [DAMAGED]);
        return id === undefined || !known.has(id);
      })
      .map((name) => join(this.#kind.root, name));
  }

  #idOf(name: string, endings: readonly string[]): string | undefined {
    for (const ending of endings) {
      const id = name.slice(0, -ending.length);
      if (name.endsWith(ending) && this.#kind.id.test(id)) return id;
    }
    return undefined;
  }

  async #names(): Promise<string[]> {
    try {
      return (await readdir(this.#kind.root)).sort();
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return [];
      throw error;
    }
  }
}

const COPY = RECORD_SUFFIX + COPY_SUFFIX;
const DAMAGED = RECORD_SUFFIX + DAMAGED_SUFFIX;
/** What `moveAside` adds where a directory has that name already. */
const DAMAGED_LONGER = /-[0-9a-f]{12}$/;
