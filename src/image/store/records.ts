// What the store knows of images: images/<config hex>.json says what an image is and never changes; names.json says
// which images there are and what they are called. names.json is the one commit point: a record that it does not list
// is a leftover of a kill, an entry without its record is dropped. Both are kept twice.

import { join } from "node:path";
import * as v from "valibot";
import { KilnError } from "../../base/errors.js";
import { failpoint } from "../../base/failpoint.js";
import { makeDirectory } from "../../base/files.js";
import { writeKept } from "../../base/kept-file.js";
import type { Logger } from "../../base/log.js";
import { RecordFiles } from "../../base/record-files.js";
import { readForm, tellDamage } from "../../base/record-form.js";
import {
  keepUnknown,
  openObject,
  type Parsed,
  parseVersioned,
  type RecordKind,
} from "../../base/versioned.js";
import { hexOf, isDigest } from "../digest.js";
import type { StoredImage } from "../types.js";

/** A StoredImage without its names: what a record file holds. */
export interface ImageRecord extends Omit<StoredImage, "names" | "digests"> {
  /** The layers were found to be what the config says they are. Absent: an earlier release did not look. */
  readonly verified?: true;
}

const Digest = v.pipe(v.string(), v.check(isDigest));
const Size = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const Strings = v.optional(v.array(v.string()), []);
const Text = v.optional(v.string(), "");
const RecordSchema = openObject({
  version: v.number(),
  id: Digest,
  manifestDigest: Digest,
  platform: openObject({ os: v.string(), architecture: v.string(), variant: v.exactOptional(v.string()) }),
  run: openObject({
    env: Strings,
    entrypoint: Strings,
    cmd: Strings,
    workdir: Text,
    user: Text,
    labels: v.optional(v.record(v.string(), v.string()), {}),
    exposedPorts: Strings,
    volumes: Strings,
    stopSignal: Text,
  }),
  layers: v.array(
    openObject({
      digest: Digest,
      sizeBytes: Size,
      diffId: Digest,
      compression: v.picklist(["none", "gzip", "zstd"]),
    }),
  ),
  sizeBytes: Size,
  createdAt: v.optional(v.string(), ""),
  verified: v.exactOptional(v.literal(true)),
});
const NamesSchema = openObject({
  version: v.number(),
  images: v.record(v.string(), openObject({ names: Strings, digests: Strings })),
});

type NamesFile = v.InferOutput<typeof NamesSchema>;

type StoredRecord = ImageRecord & { version: number };
export const IMAGE: RecordKind<StoredRecord> = { version: 1, schema: RecordSchema, migrations: {} };
export const NAMES: RecordKind<NamesFile> = { version: 1, schema: NamesSchema, migrations: {} };

const HEX = /^[a-f0-9]{64}$/;

/** A record of another image says nothing of this one. */
function parseImage(json: unknown, hex: string): Parsed<StoredRecord> | undefined {
  const parsed = parseVersioned(IMAGE, json);
  return parsed?.value.id === `sha256:${hex}` ? parsed : undefined;
}

/** What was read has its own. */
const versioned = (record: ImageRecord): StoredRecord => ({ version: IMAGE.version, ...record });

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
  readonly #files: RecordFiles<StoredRecord>;
  readonly #namesFile: string;
  readonly #log: Logger;
  #records = new Map<string, ImageRecord>();
  #names = new Map<string, Names>();
  #listed: readonly StoredImage[] | undefined;
  #used: ReadonlySet<string> | undefined;
  /** As it was read, with whatever another release has put into it. */
  #file: NamesFile = { version: 1, images: {} };

  constructor(root: string, log: Logger) {
    this.#directory = join(root, "images");
    const form = { kind: IMAGE, parse: parseImage };
    this.#files = new RecordFiles({ root: this.#directory, id: HEX, form });
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
    await this.#files.sweep();
    const found = await this.#files.load();
    const { listed, intact } = await this.#readNames(found.map(({ id }) => id));
    const records = new Map<string, ImageRecord>();
    for (const { id: hex, record } of found) {
      const id = `sha256:${hex}`;
      const { value, damage } = record;
      if (value !== undefined) tellDamage(this.#log, this.#files.path(hex), record);
      if (value !== undefined && listed.has(id)) {
        if (await isComplete(value)) {
          records.set(id, value);
          continue;
        }
        this.#log.warn("image is incomplete on disk, forgetting it", { image: id });
      } else if (value === undefined && damage !== undefined) {
        this.#log.warn("image record is damaged, removing it", { path: this.#files.path(hex), why: damage });
      }
      await this.#files.remove(hex);
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

  /** True where an image that was verified has that blob as a layer of that diff id. */
  isVerified({ digest, diffId }: { readonly digest: string; readonly diffId: string }): boolean {
    for (const { verified, layers } of this.#records.values()) {
      if (verified !== true) continue;
      if (layers.some((layer) => layer.digest === digest && layer.diffId === diffId)) return true;
    }
    return false;
  }

  get(id: string): StoredImage | undefined {
    return this.#stored(id);
  }

  /** What is on record, without names. */
  record(id: string): ImageRecord | undefined {
    return this.#records.get(id);
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
    const known = this.#records.get(record.id);
    const kept = known === record ? record : await this.#writeRecord(record, known);
    failpoint("image.recorded");
    const next = this.#without(names, digests);
    const before = next.get(record.id);
    next.set(record.id, {
      names: new Set([...(before?.names ?? []), ...names]),
      digests: new Set([...(before?.digests ?? []), ...digests]),
    });
    await this.#writeNames(next);
    this.#records.set(record.id, kept);
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
    failpoint("image.unnamed");
    this.#records.delete(id);
    this.#commit(next);
    await this.#files.remove(hexOf(id));
  }

  #stored(id: string): StoredImage | undefined {
    const record = this.#records.get(id);
    if (record === undefined) return undefined;
    const known = this.#names.get(id);
    const { verified: _, version: _version, ...image } = record as ImageRecord & { version?: number };
    return { ...image, names: [...(known?.names ?? [])], digests: [...(known?.digests ?? [])] };
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
    const before = this.#file.images;
    // What is no id to this release stays as it was found.
    const images = Object.fromEntries(Object.entries(before).filter(([id]) => !isDigest(id)));
    for (const [id, known] of names) {
      images[id] = { ...before[id], names: [...known.names], digests: [...known.digests] };
    }
    const next = { ...this.#file, images };
    try {
      await writeKept(this.#namesFile, next);
      this.#file = next;
    } catch (error) {
      throw KilnError.from(error, "write the list of images");
    }
  }

  /** A list that is lost with its copy must not cost the user all images: they become nameless. */
  async #readNames(hexes: readonly string[]): Promise<{ listed: Map<string, Names>; intact: boolean }> {
    const reading = await readForm(this.#namesFile, { kind: NAMES }, "names");
    const { value } = reading;
    // Where both are gone, and nothing says that they were ever there, it is a first start.
    if (value !== undefined || reading.damage !== undefined) tellDamage(this.#log, this.#namesFile, reading);
    if (value !== undefined) {
      this.#file = value;
      const entries = Object.entries(value.images).filter(([id]) => isDigest(id));
      const listed = new Map(
        entries.map(([id, known]) => [id, { names: new Set(known.names), digests: new Set(known.digests) }]),
      );
      return { listed, intact: true };
    }
    if (hexes.length > 0) this.#log.warn("the list of images is missing or damaged: their names are lost");
    const nameless = hexes.map((hex): [string, Names] => [
      `sha256:${hex}`,
      { names: new Set(), digests: new Set() },
    ]);
    return { listed: new Map(nameless), intact: false };
  }

  /** @param before that of the same image, which it takes the place of */
  async #writeRecord(record: ImageRecord, before: ImageRecord | undefined): Promise<ImageRecord> {
    const kept = keepUnknown(IMAGE, before && versioned(before), versioned(record));
    await this.#files.save(hexOf(record.id), kept);
    return kept;
  }
}
