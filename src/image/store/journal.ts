// Pulls that have begun: ingest/<hash>.json names the blobs that a pull is fetching, so that after a kill or a cut line
// the next pull finds them and the sweep leaves them alone for a while. Without an entry, what lies in ingest/ is waste.

import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { KilnError } from "../../base/errors.js";
import { allocatedBytes, readJson, writeJsonAtomic } from "../../base/files.js";
import { removeFile } from "../../base/move-aside.js";
import { isDigest } from "../digest.js";

const EntrySchema = v.object({
  source: v.string(),
  startedMs: v.number(),
  digests: v.array(v.pipe(v.string(), v.check(isDigest))),
});
type Entry = v.InferOutput<typeof EntrySchema>;

const PARTIAL = /^([a-f0-9]{64})\.part$/;

export class PullJournal {
  readonly #directory: string;
  readonly #entries = new Map<string, Entry>();

  /** @param directory ingest/, which the blob store makes */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Reads what earlier runs left; drops what is older than `maxAgeMs`, damaged, or belongs to no pull. */
  async open(maxAgeMs: number, nowMs: number): Promise<void> {
    this.#entries.clear();
    for (const name of await readdir(this.#directory)) {
      if (!name.endsWith(".json")) continue;
      const entry = await this.#read(join(this.#directory, name));
      const age = entry === undefined ? Number.POSITIVE_INFINITY : nowMs - entry.startedMs;
      // A clock that was set back must not keep an entry for ever.
      if (entry !== undefined && Math.abs(age) <= maxAgeMs) this.#entries.set(name, entry);
      else await removeFile(join(this.#directory, name));
    }
    await this.removePartials((digest) => this.needs(digest));
  }

  /** Notes that a pull is about to fetch these blobs. Durable before it resolves, so before the first blob is stored. */
  async begin(source: string, digests: readonly string[]): Promise<void> {
    const name = nameFor(source);
    const entry: Entry = { source, startedMs: Date.now(), digests: [...new Set(digests)] };
    try {
      await writeJsonAtomic(join(this.#directory, name), entry);
    } catch (error) {
      throw KilnError.from(error, `note the pull of ${source}`);
    }
    this.#entries.set(name, entry);
  }

  /** The pull is over: done, or failed for good. */
  async end(source: string): Promise<void> {
    const name = nameFor(source);
    this.#entries.delete(name);
    await removeFile(join(this.#directory, name));
  }

  /** Forgets the pulls that have nothing more to fetch: a kill between the image and the end of its entry leaves one. */
  async endDone(isInUse: (digest: string) => boolean): Promise<void> {
    for (const [name, { digests }] of [...this.#entries]) {
      if (!digests.every(isInUse)) continue;
      this.#entries.delete(name);
      await removeFile(join(this.#directory, name));
    }
  }

  /** True where an interrupted or running pull fetches that blob. */
  needs(digest: string): boolean {
    for (const entry of this.#entries.values()) if (entry.digests.includes(digest)) return true;
    return false;
  }

  /** Forgets every pull but those that fetch a blob which is in use. */
  async forget(inUse: (digest: string) => boolean): Promise<void> {
    for (const [name, entry] of [...this.#entries]) {
      if (entry.digests.some(inUse)) continue;
      this.#entries.delete(name);
      await removeFile(join(this.#directory, name));
    }
  }

  /** Removes unfinished downloads that nobody will resume; returns their bytes on disk. */
  async removePartials(needed: (digest: string) => boolean): Promise<number> {
    let bytes = 0;
    for (const name of await readdir(this.#directory)) {
      const hex = PARTIAL.exec(name)?.[1];
      if (hex === undefined) continue;
      const size = await allocatedBytes(join(this.#directory, name));
      if (needed(`sha256:${hex}`)) continue;
      await removeFile(join(this.#directory, name));
      bytes += size;
    }
    return bytes;
  }

  /** Bytes on disk of everything in ingest/. */
  async bytes(): Promise<number> {
    let bytes = 0;
    for (const name of await readdir(this.#directory))
      bytes += await allocatedBytes(join(this.#directory, name));
    return bytes;
  }

  async #read(path: string): Promise<Entry | undefined> {
    try {
      const parsed = v.safeParse(EntrySchema, await readJson(path));
      return parsed.success ? parsed.output : undefined;
    } catch (error) {
      if (error instanceof SyntaxError) return undefined; // damaged: the caller removes it
      throw KilnError.from(error, `read ${path}`);
    }
  }
}

function nameFor(source: string): string {
  return `${createHash("sha256").update(source).digest("hex").slice(0, 32)}.json`;
}
