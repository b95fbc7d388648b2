// Archives that wait for the next start of their VM: vms/<id>/pending/<number>.tar, and <number>.json, which says what
// becomes of it. The JSON comes last and goes first, so that a kill at any point leaves a whole copy or rubbish, which the
// next kilnd removes.

import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { Code, errnoOf, KilnError } from "../../base/errors.js";
import { syncDirectory, TEMP_MARK, tempNameFor } from "../../base/files.js";
import { COPY_SUFFIX, readKept, removeKept, writeKept } from "../../base/kept-file.js";
import { UndoStack } from "../../base/undo.js";
import { formatSize } from "../../base/units.js";
import { openObject, parseVersioned, type RecordKind } from "../../base/versioned.js";
import type { VmEntry } from "../vm/entry.js";
import type { VmStore } from "../vm/store.js";

const DIRECTORY = "pending";
/** Both are room for what is put in by hand: an image is the place for more. */
export const MOST_COPIES = 1000;
export const MOST_BYTES = 4 * 1024 ** 3;
/** Between two looks at the host's disk. */
const LOOK_EVERY = 64 * 1024 ** 2;

const Flag = v.optional(v.boolean(), false);

const RecordSchema = openObject({
  version: v.number(),
  /** Of the archive: one that is shorter was torn. */
  bytes: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  /** Where it is unpacked; with `copy`, what docker cp calls its destination. */
  directory: v.string(),
  keepOwner: Flag,
  /** What was copied, for docker's rules. */
  copy: v.exactOptional(openObject({ name: v.string(), isDirectory: Flag, contents: Flag })),
  /**
   * What the rules said when it was unpacked the first time. A start that is repeated must not ask again: what was a
   * free name then is a directory now.
   */
  plan: v.exactOptional(openObject({ directory: v.string(), name: v.exactOptional(v.string()) })),
});
type PendingRecord = v.InferOutput<typeof RecordSchema>;

export const PENDING: RecordKind<PendingRecord> = { version: 1, schema: RecordSchema, migrations: {} };

/** What becomes of an archive. */
export type CopyOrder = Pick<PendingRecord, "directory" | "keepOwner" | "copy">;

export interface PendingCopy {
  readonly number: string;
  readonly archive: string;
  readonly record: PendingRecord;
}

/** An archive that has come in, and is nobody's yet. */
export interface Received {
  readonly path: string;
  readonly bytes: number;
}

/** The copies that wait for a VM's next start. */
export function pendingCopies(
  { store }: { readonly store: Pick<VmStore, "directory"> },
  { id, name }: Pick<VmEntry, "id" | "name">,
): PendingCopies {
  return new PendingCopies(name, store.directory(id));
}

/** The copies of one VM. Whoever adds, marks or removes holds the VM's lock. */
export class PendingCopies {
  readonly #vm: string;
  readonly #directory: string;

  /** @param vmDirectory where all that is the VM's lies; it must be there */
  constructor(vm: string, vmDirectory: string) {
    this.#vm = vm;
    this.#directory = join(vmDirectory, DIRECTORY);
  }

  /**
   * Takes an archive in, synced.
   *
   * @param requireRoom told how much more will be written soon
   * @throws KilnError resource_exhausted `too-many-copies`, and what the stream and `requireRoom` say
   */
  async receive(
    tar: AsyncIterable<Uint8Array>,
    requireRoom: (bytes: number) => Promise<void>,
  ): Promise<Received> {
    await this.#makeDirectory();
    const most = MOST_BYTES - (await this.#bytes());
    const path = tempNameFor(join(this.#directory, "archive"));
    const file = await open(path, "wx", 0o600);
    let bytes = 0;
    try {
      let looked = 0;
      await requireRoom(LOOK_EVERY);
      for await (const data of tar) {
        bytes += data.length;
        if (bytes > most) throw this.#tooMuch(`more than ${formatSize(MOST_BYTES)}`);
        if (bytes - looked >= LOOK_EVERY) {
          await requireRoom(LOOK_EVERY);
          looked = bytes;
        }
        await file.writeFile(data);
      }
      await file.sync();
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    } finally {
      await file.close();
    }
    return { path, bytes };
  }

  /** Puts it behind those that are there. @throws KilnError resource_exhausted `too-many-copies` */
  async add({ path, bytes }: Received, order: CopyOrder): Promise<void> {
    const numbers = await this.#numbers();
    if (numbers.length >= MOST_COPIES) throw this.#tooMuch(`${MOST_COPIES} archives`);
    // Others may have come in meanwhile.
    if ((await this.#bytes()) > MOST_BYTES) throw this.#tooMuch(`more than ${formatSize(MOST_BYTES)}`);
    const number = String(Number(numbers.at(-1) ?? 0) + 1).padStart(8, "0");
    const archive = this.#archive(number);
    await using undo = new UndoStack();
    await rename(path, archive);
    undo.push("remove the archive", () => rm(archive, { force: true }));
    await syncDirectory(this.#directory);
    undo.push("remove its record", () => removeKept(this.#json(number)));
    await writeKept(this.#json(number), { version: PENDING.version, bytes, ...order });
    undo.commit();
  }

  async drop({ path }: Received): Promise<void> {
    await rm(path, { force: true });
  }

  /** In the order in which they came. @throws KilnError data_loss `pending-damaged` */
  async list(): Promise<PendingCopy[]> {
    const copies: PendingCopy[] = [];
    for (const number of await this.#numbers()) {
      const path = this.#json(number);
      const { value: record, damage } = await readKept(path, readRecord);
      const archive = this.#archive(number);
      if (record === undefined) throw this.#damaged(path, damage ?? "it is gone");
      const size = await stat(archive).then(
        (info) => info.size,
        () => undefined,
      );
      if (size !== record.bytes) throw this.#damaged(archive, "it is not whole");
      copies.push({ number, archive, record });
    }
    return copies;
  }

  /** Writes down where it goes, before anything goes there. */
  async mark(copy: PendingCopy, plan: NonNullable<PendingRecord["plan"]>): Promise<void> {
    await writeKept(this.#json(copy.number), { ...copy.record, plan });
  }

  /** For good, also after a power cut: nothing is unpacked over what the program has made of it. */
  async remove(copies: readonly PendingCopy[]): Promise<void> {
    for (const { number, archive } of copies) {
      await removeKept(this.#json(number));
      await rm(archive, { force: true });
    }
    if (copies.length > 0) await syncDirectory(this.#directory);
  }

  /** Removes what a killed kilnd left half done. Nobody may be putting anything in. */
  async tidy(): Promise<void> {
    const whole = new Set(await this.#numbers());
    for (const name of await this.#names()) {
      const [number = ""] = name.split(".");
      if (name.includes(TEMP_MARK) || (name.endsWith(".tar") && !whole.has(number))) {
        await rm(join(this.#directory, name), { force: true });
      }
    }
  }

  /** Not its parents: a VM that is being removed must not come back. */
  async #makeDirectory(): Promise<void> {
    try {
      await mkdir(this.#directory, { mode: 0o700 });
    } catch (error) {
      if (errnoOf(error) !== "EEXIST") throw error;
    }
  }

  async #names(): Promise<string[]> {
    try {
      return (await readdir(this.#directory)).sort();
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return [];
      throw error;
    }
  }

  /** A file or its copy is enough. */
  async #numbers(): Promise<string[]> {
    const known = /^(\d{8})\.json$/;
    const names = (await this.#names()).map((name) =>
      name.endsWith(COPY_SUFFIX) ? name.slice(0, -COPY_SUFFIX.length) : name,
    );
    return [...new Set(names.flatMap((name) => known.exec(name)?.[1] ?? []))];
  }

  /** Those that are still coming in count. */
  async #bytes(): Promise<number> {
    const sizes = (await this.#names()).map((name) =>
      stat(join(this.#directory, name)).then(
        (info) => info.size,
        () => 0,
      ),
    );
    return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  }

  #archive(number: string): string {
    return join(this.#directory, `${number}.tar`);
  }

  #json(number: string): string {
    return join(this.#directory, `${number}.json`);
  }

  #tooMuch(what: string): KilnError {
    const message = `copy to VM ${this.#vm}: ${what} wait for its start`;
    return new KilnError(Code.ResourceExhausted, message, {
      reason: "too-many-copies",
      hint: "start the VM, which takes them in, or put them into an image",
    });
  }

  #damaged(path: string, why: string): KilnError {
    const message = `files that were copied to VM ${this.#vm} can't be read: ${path}: ${why}`;
    return new KilnError(Code.DataLoss, message, {
      reason: "pending-damaged",
      hint: `to start without them, remove that number's files from ${this.#directory}, then copy them again`,
    });
  }
}

/** All of it or nothing: half an order puts files where nobody wanted them. */
function readRecord(json: unknown): PendingRecord | undefined {
  const parsed = parseVersioned(PENDING, json);
  return parsed === undefined || parsed.newer || parsed.problems.length > 0 ? undefined : parsed.value;
}
