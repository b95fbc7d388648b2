// The catalogue's files: kernels/<id>/{kernel.json,vmlinux,modules-<fingerprint>/,initramfs-*.cpio} and
// kernels/default.json. How a kernel comes and goes is the object store's; one that is imported again stays in its
// place, because VMs may be booting of it.

import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { defined } from "../base/defined.js";
import { KilnError } from "../base/errors.js";
import { failpoint } from "../base/failpoint.js";
import { TEMP_MARK } from "../base/files.js";
import { removeKept, writeKept } from "../base/kept-file.js";
import type { Logger } from "../base/log.js";
import { type LoadedObject, ObjectStore } from "../base/object-store.js";
import { readForm, tellDamage } from "../base/record-form.js";
import { openObject, type Parsed, parseVersioned, type RecordKind } from "../base/versioned.js";
import type { StoredKernel } from "./types.js";

const ID = /^[0-9a-f]{64}$/;
const DEFAULT_FILE = "default.json";

const Text = v.optional(v.string(), "");
const RecordSchema = openObject({
  version: v.number(),
  id: v.pipe(v.string(), v.regex(ID)),
  name: v.string(),
  release: v.string(),
  source: Text,
  architecture: v.picklist(["amd64", "arm64"]),
  pvh: v.optional(v.boolean(), false),
  sizeBytes: v.optional(v.number(), 0),
  createdAt: Text,
  own: v.optional(openObject({ source: v.string(), configuration: v.pipe(v.string(), v.regex(ID)) })),
  modules: v.optional(v.pipe(v.string(), v.regex(/^modules-[0-9a-f]{16}$/))),
});

/** kernel.json. Its file names are relative, so that a data root can be moved. */
export type KernelRecord = v.InferOutput<typeof RecordSchema>;

export const KERNEL: RecordKind<KernelRecord> = { version: 1, schema: RecordSchema, migrations: {} };

const DefaultSchema = openObject({ version: v.number(), id: v.string() });

/** default.json: which kernel a user has chosen. */
export type DefaultKernel = v.InferOutput<typeof DefaultSchema>;

export const DEFAULT: RecordKind<DefaultKernel> = { version: 1, schema: DefaultSchema, migrations: {} };

/** Readable by a VMM with a uid of its own, whatever the umask. */
const OPEN = { root: 0o755, directory: 0o755 };
const READABLE = { mode: 0o644 };

/** A record of another kernel says nothing of this one. */
function parseKernel(json: unknown, id: string): Parsed<KernelRecord> | undefined {
  const parsed = parseVersioned(KERNEL, json);
  return parsed?.value.id === id ? parsed : undefined;
}

export class KernelStore {
  readonly #objects: ObjectStore<KernelRecord>;
  readonly #log: Logger;

  constructor(dataRoot: string, log: Logger) {
    this.#log = log;
    this.#objects = new ObjectStore({
      ...{ noun: "kernel", root: join(dataRoot, "kernels"), id: ID, modes: OPEN, log },
      record: { file: "kernel.json", kind: KERNEL, parse: parseKernel, ...READABLE },
      beside: /^default\.json/,
      onStep: (step) => failpoint(`kernel.${step}`),
    });
  }

  get root(): string {
    return this.#objects.root;
  }

  directory(id: string): string {
    return this.#objects.path(id);
  }

  /** Reads all records and clears away what a kill has left half made. */
  async load(): Promise<KernelRecord[]> {
    const records: KernelRecord[] = [];
    for (const found of await this.#objects.load()) {
      try {
        const record = await this.#complete(found);
        if (record !== undefined) records.push(record);
      } catch (error) {
        // Damage that no kill leaves: somebody's data, so it is left for them to see.
        const [path, why] = [this.directory(found.id), KilnError.from(error).message];
        this.#log.warn("a kernel is left out: its files are damaged", { path, error: why });
      }
    }
    return records;
  }

  /**
   * Makes a kernel's directory. One that is there and could not be read gives way.
   *
   * @param fill moves its files in; they are on disk
   */
  async add(record: KernelRecord, fill: (directory: string) => Promise<void>): Promise<void> {
    await this.#objects.replace(record.id, { record }, fill);
  }

  save(record: KernelRecord): Promise<void> {
    return this.#objects.saveRecord(record.id, record);
  }

  /** @param gone see `ObjectStore.remove` */
  remove(id: string, gone?: () => void): Promise<void> {
    return this.#objects.remove(id, gone);
  }

  strays(known: ReadonlySet<string>): Promise<string[]> {
    return this.#objects.strays(known);
  }

  clearLeftovers(): Promise<number> {
    return this.#objects.clearLeftovers();
  }

  /** The record with its paths, as other rooms see it. */
  stored(record: KernelRecord): StoredKernel {
    const { id, name, release, source, architecture, pvh, sizeBytes, createdAt, own, modules } = record;
    return defined({
      ...{ id, name, release, source, architecture, pvh, sizeBytes, createdAt, own },
      vmlinux: this.#objects.path(id, "vmlinux"),
      modulesDirectory: modules === undefined ? undefined : this.#objects.path(id, modules),
    });
  }

  /** What was set as default; undefined where nothing was, or the file is damaged. */
  async readDefault(): Promise<DefaultKernel | undefined> {
    const reading = await readForm(this.#defaultFile, { kind: DEFAULT, ...READABLE }, DEFAULT_FILE);
    // Without one, none was set.
    if (reading.value !== undefined || reading.damage !== undefined) {
      tellDamage(this.#log, this.#defaultFile, reading);
    }
    return reading.value;
  }

  async writeDefault(chosen: DefaultKernel | undefined): Promise<void> {
    if (chosen !== undefined) return writeKept(this.#defaultFile, chosen, READABLE);
    await removeKept(this.#defaultFile);
  }

  get #defaultFile(): string {
    return join(this.root, DEFAULT_FILE);
  }

  /** undefined where the import was not completed: earlier releases wrote the record last. */
  async #complete({
    id,
    record: { value, damage },
  }: LoadedObject<KernelRecord, never>): Promise<KernelRecord | undefined> {
    if (value === undefined && damage === undefined) {
      await this.remove(id);
      return undefined;
    }
    if (value === undefined) throw new TypeError(damage);
    const directory = this.directory(id);
    if (!(await stat(join(directory, "vmlinux"))).isFile()) throw new TypeError("vmlinux is no file");
    for (const name of await readdir(directory)) {
      const stale = name.includes(TEMP_MARK) || (name.startsWith("modules-") && name !== value.modules);
      if (stale) await rm(join(directory, name), { recursive: true, force: true });
    }
    return value;
  }
}
