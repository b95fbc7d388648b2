// What the store knows of images: images/<config hex>.json says what an image is and never changes; names.json says
// which images there are and what they are called. names.json is the one commit point: a record that it does not list
// is a leftover of a kill, an entry without its record is dropped.

import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { KilnError } from "../../base/errors.js";
import { makeDirectory, readJson, TEMP_MARK, writeJsonAtomic } from "../../base/files.js";
import type { Logger } from "../../base/log.js";
import { hexOf, isDigest } from "../digest.js";
import type { StoredImage } from "../types.js";

/** A StoredImage without its names: what a record file holds. */
export type ImageRecord = Omit<StoredImage, "names" | "digests">;

const Digest = v.pipe(v.string(), v.check(isDigest));
const Size = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const Strings = v.array(v.string());
const RecordSchema = v.object({
  id: Digest,
  manifestDigest: Digest,
  platform: v.object({ os: v.string(), architecture: v.string(), variant: v.exactOptional(v.string()) }),
  run: v.object({
    env: Strings,
    entrypoint: Strings,
    cmd: Strings,
    workdir: v.string(),
    user: v.string(),
    labels: v.record(v.string(), v.string()),
    exposedPorts: Strings,
    volumes: Strings,
    stopSignal: v.string(),
  }),
  layers: v.array(
    v.object({
      digest: Digest,
      sizeBytes: Size,
      diffId: Digest,
      compression: v.picklist(["none", "gzip", "zstd"]),
    }),
  ),
  sizeBytes: Size,
  createdAt: v.string(),
});
const NamesSchema = v.object({
  images: v.record(Digest, v.object({ names: Strings, digests: Strings })),
});

const RECORD_FILE = /^[a-f0-9]{64}\.json$/;

interface Names {
  readonly names: ReadonlySet<string>;
  readonly digests: ReadonlySet<string>;
}

/** Every blob that an image is made of. */
export function blobsOf(record: ImageRecord): string[] {
  return [record.id, record.manifestDigest, ...record.layers.map(({ digest }) => digest)];
}

/** In memory and on disk; the caller serialises changes. */
export class ImageRecords {
  readonly #directory: string;
  readonly #namesFile: string;
  readonly #log: Logger;
  #records = new Map<string, ImageRecord>();
  #names = new Map<string, Names>();
  #listed: readonly StoredImage[] | undefined;
  #used: ReadonlySet<string> | undefined;

  constructor(root: string, log: Logger) {
    this.#directory = join(root, "images");
    this.#namesFile = join(root, "names.json");
    this.#log = log;
  }

  /**
   * Reads the disk and drops what a kill left in between.
   *
   * @param isComplete whether all blobs of a record are there
   */
  async open(isComplete: (record: ImageRecord) => Promise<boolean>): Promise<void> {
    await makeDirectory(this.#directory);
    const { listed, intact } = await this.#readNames();
    const records = new Map<string, ImageRecord>();
    for (const name of await readdir(this.#directory)) {
      const path = join(this.#directory, name);
      const record = name.includes(TEMP_MARK) ? undefined : await this.#readRecord(path, name);
      if (record !== undefined && listed.has(record.id) && (await isComplete(record))) {
        records.set(record.id, record);
        continue;
      }
      if (record !== undefined && listed.has(record.id)) {
        this.#log.warn("image is incomplete on disk, forgetting it", { image: record.id });
      }
      await rm(path, { force: true });
    }
    this.#records = records;
    this.#commit(new Map([...listed].filter(([id]) => records.has(id))));
    // Written even where it is empty: from now on a missing list means damage, not a first start.
    if (!intact || this.#names.size !== listed.size) await this.#writeNames(this.#names);
  }

  /** All images, newest first. */
  list(): readonly StoredImage[] {
    this.#listed ??= [...this.#records.keys()]
      .map((id) => this.#stored(id))
      .filter((image) => image !== undefined)
      .sort((a, b) => Date.parse(b.createdAt) - Date.parse(a.createdAt) || (a.id < b.id ? -1 : 1));
    return this.#listed;
  }

  /** True where an image is made of that blob, now. */
  uses(digest: string): boolean {
    this.#used ??= new Set([...this.#records.values()].flatMap(blobsOf));
    return this.#used.has(digest);
  }

  get(id: string): StoredImage | undefined {
    return this.#stored(id);
  }

  /** The image that bears a name ("docker.io/library/nginx:1.25") or a digest name ("...nginx@sha256:..."). */
  byName(name: string): StoredImage | undefined {
    for (const [id, known] of this.#names) {
      if (known.names.has(name) || known.digests.has(name)) return this.#stored(id);
    }
    return undefined;
  }

  /** Adds an image, or names to a known one; each name is taken from whoever bears it. Durable when it resolves. */
  async add(record: ImageRecord, names: readonly string[], digests: readonly string[]): Promise<StoredImage> {
    if (!this.#records.has(record.id)) await writeJsonAtomic(this.#recordPath(record.id), record);
    const next = this.#without(names, digests);
    const before = next.get(record.id);
    next.set(record.id, {
      names: new Set([...(before?.names ?? []), ...names]),
      digests: new Set([...(before?.digests ?? []), ...digests]),
    });
    await this.#writeNames(next);
    if (!this.#records.has(record.id)) this.#records.set(record.id, record);
    this.#commit(next);
    return this.#stored(record.id) as StoredImage;
  }

  /** Takes names and digest names away from an image. */
  async unname(id: string, names: readonly string[]): Promise<void> {
    const known = this.#names.get(id);
    if (known === undefined) return;
    const gone = new Set(names);
    const next = new Map(this.#names);
    next.set(id, {
      names: new Set([...known.names].filter((name) => !gone.has(name))),
      digests: new Set([...known.digests].filter((name) => !gone.has(name))),
    });
    await this.#writeNames(next);
    this.#commit(next);
  }

  async delete(id: string): Promise<void> {
    const next = new Map(this.#names);
    next.delete(id);
    await this.#writeNames(next);
    this.#records.delete(id);
    this.#commit(next);
    await rm(this.#recordPath(id), { force: true });
  }

  #stored(id: string): StoredImage | undefined {
    const record = this.#records.get(id);
    if (record === undefined) return undefined;
    const known = this.#names.get(id);
    return { ...record, names: [...(known?.names ?? [])], digests: [...(known?.digests ?? [])] };
  }

  #without(names: readonly string[], digests: readonly string[]): Map<string, Names> {
    const gone = new Set([...names, ...digests]);
    return new Map(
      [...this.#names].map(([id, known]) => [
        id,
        {
          names: new Set([...known.names].filter((name) => !gone.has(name))),
          digests: new Set([...known.digests].filter((name) => !gone.has(name))),
        },
      ]),
    );
  }

  #commit(names: Map<string, Names>): void {
    this.#names = names;
    this.#listed = undefined;
    this.#used = undefined;
  }

  async #writeNames(names: ReadonlyMap<string, Names>): Promise<void> {
    const images: Record<string, { names: string[]; digests: string[] }> = {};
    for (const [id, known] of names) images[id] = { names: [...known.names], digests: [...known.digests] };
    try {
      await writeJsonAtomic(this.#namesFile, { images });
    } catch (error) {
      throw KilnError.from(error, "write the list of images");
    }
  }

  /** A damaged list must not cost the user all images: the records are still there, so they become nameless. */
  async #readNames(): Promise<{ listed: Map<string, Names>; intact: boolean }> {
    const parsed = v.safeParse(NamesSchema, await readJsonOrDamage(this.#namesFile));
    if (parsed.success) {
      const entries = Object.entries(parsed.output.images);
      const listed = new Map(
        entries.map(([id, known]) => [id, { names: new Set(known.names), digests: new Set(known.digests) }]),
      );
      return { listed, intact: true };
    }
    const files = (await readdir(this.#directory)).filter((name) => RECORD_FILE.test(name));
    if (files.length > 0) this.#log.warn("the list of images is missing or damaged: their names are lost");
    const nameless = files.map((name): [string, Names] => [
      `sha256:${name.slice(0, 64)}`,
      { names: new Set(), digests: new Set() },
    ]);
    return { listed: new Map(nameless), intact: false };
  }

  async #readRecord(path: string, name: string): Promise<ImageRecord | undefined> {
    const parsed = v.safeParse(RecordSchema, await readJsonOrDamage(path));
    if (!parsed.success || name !== `${hexOf(parsed.output.id)}.json`) {
      this.#log.warn("image record is damaged, removing it", { path });
      return undefined;
    }
    return parsed.output;
  }

  #recordPath(id: string): string {
    return join(this.#directory, `${hexOf(id)}.json`);
  }
}

async function readJsonOrDamage(path: string): Promise<unknown> {
  try {
    return await readJson(path);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined; // checked by the schema: reported there
    throw KilnError.from(error, `read ${path}`);
  }
}
