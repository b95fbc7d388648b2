// The catalogue's files: kernels/<id>/{kernel.json,vmlinux,modules-<fingerprint>/,initramfs-*.cpio} and
// kernels/default.json. kernel.json is written last and removed first: a directory without it is half made.

import { chmod, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { defined } from "../base/defined.js";
import { KilnError } from "../base/errors.js";
import { makeDirectory, TEMP_MARK } from "../base/files.js";
import { readKept, removeKept, writeKept } from "../base/kept-file.js";
import type { Logger } from "../base/log.js";
import { openObject, parseVersioned, type RecordKind } from "../base/versioned.js";
import type { StoredKernel } from "./types.js";

const ID = /^[0-9a-f]{64}$/;
const RECORD = "kernel.json";
const DEFAULT = "default.json";

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

const KERNEL: RecordKind<KernelRecord> = { version: 1, schema: RecordSchema, migrations: {} };

const Default = v.object({ id: v.string() });

export function kernelDirectory(root: string, id: string): string {
  return join(root, id);
}

/** The record with its paths, as other rooms see it. */
export function storedKernel(root: string, record: KernelRecord): StoredKernel {
  const directory = kernelDirectory(root, record.id);
  return defined({
    id: record.id,
    name: record.name,
    release: record.release,
    source: record.source,
    architecture: record.architecture,
    pvh: record.pvh,
    vmlinux: join(directory, "vmlinux"),
    modulesDirectory: record.modules === undefined ? undefined : join(directory, record.modules),
    sizeBytes: record.sizeBytes,
    createdAt: record.createdAt,
    own: record.own,
  });
}

/** A directory that a VMM with a uid of its own may enter, whatever the umask. */
export async function makeOpenDirectory(path: string): Promise<void> {
  await makeDirectory(path, 0o755);
  await chmod(path, 0o755);
}

export async function writeRecord(root: string, record: KernelRecord): Promise<void> {
  await writeKept(join(kernelDirectory(root, record.id), RECORD), record, { mode: 0o644 });
}

/** Removes a kernel: its record first, so that a kill in between leaves what `loadRecords` clears away. */
export async function removeKernelFiles(root: string, id: string): Promise<void> {
  const directory = kernelDirectory(root, id);
  await removeKept(join(directory, RECORD));
  await rm(directory, { recursive: true, force: true });
}

/** Reads all records and clears away what a kill has left half made. */
export async function loadRecords(root: string, log: Logger): Promise<KernelRecord[]> {
  const records: KernelRecord[] = [];
  for (const name of await readdir(root)) {
    const path = join(root, name);
    if (name.includes(TEMP_MARK)) await rm(path, { recursive: true, force: true });
    if (!ID.test(name)) continue;
    try {
      const record = await loadRecord(root, name);
      if (record === undefined) await rm(path, { recursive: true, force: true });
      else records.push(record);
    } catch (error) {
      // Damage that no kill leaves: somebody's data, so it is left for them to see.
      log.warn("a kernel is left out: its files are damaged", { path, error: KilnError.from(error).message });
    }
  }
  return records;
}

/** undefined where the import was not completed. */
async function loadRecord(root: string, id: string): Promise<KernelRecord | undefined> {
  const directory = kernelDirectory(root, id);
  const parse = (json: unknown) => {
    const record = parseVersioned(KERNEL, json)?.value;
    return record?.id === id ? record : undefined;
  };
  const { value: record, damage } = await readKept(join(directory, RECORD), parse, { mode: 0o644 });
  if (damage !== undefined && record === undefined) throw new TypeError(damage);
  if (record === undefined) return undefined;
  if (!(await stat(join(directory, "vmlinux"))).isFile()) throw new TypeError("vmlinux is no file");
  for (const name of await readdir(directory)) {
    const stale = name.includes(TEMP_MARK) || (name.startsWith("modules-") && name !== record.modules);
    if (stale) await rm(join(directory, name), { recursive: true, force: true });
  }
  return record;
}

/** The id that was set as default; undefined where none was, or the file is damaged. */
export async function readDefault(root: string): Promise<string | undefined> {
  const parse = (json: unknown) => {
    const parsed = v.safeParse(Default, json);
    return parsed.success ? parsed.output.id : undefined;
  };
  return (await readKept(join(root, DEFAULT), parse, { mode: 0o644 })).value;
}

export async function writeDefault(root: string, id: string | undefined): Promise<void> {
  const path = join(root, DEFAULT);
  if (id !== undefined) return writeKept(path, { id }, { mode: 0o644 });
  await removeKept(path);
}
