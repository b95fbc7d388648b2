// blobs/sha256/<hex>: content by its digest. A file of that name has been verified; nothing else ever bears one.
// Who is using a blob now (leases) is known here; which images need it is the caller's to say.

import { createReadStream } from "node:fs";
import { open, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { Code, errnoOf, KilnError } from "../../base/errors.js";
import { allocatedBytes, makeDirectory, TEMP_MARK, writeFileAtomic } from "../../base/files.js";
import { KeyedLock } from "../../base/lock.js";
import { removeFile } from "../../base/move-aside.js";
import { digestOf, hexOf, isDigest } from "../digest.js";
import { ImageReason } from "../reasons.js";
import type { Ingest } from "./ingest.js";

/** Keeps blobs from the sweep while something is being made of them. Release it always. */
export interface Lease {
  /** From here to the release the blob, if it is there or comes, stays. */
  pin(digest: string): Promise<void>;
  release(): void;
}

export class BlobStore {
  readonly #directory: string;
  readonly #ingestDirectory: string;
  readonly #pins = new Map<string, number>();
  // Sweeping and pinning exclude each other: a blob must not vanish between "it is there" and its use.
  readonly #lock = new KeyedLock();

  /** @param root the store's: holds blobs/ and ingest/ */
  constructor(root: string) {
    this.#directory = join(root, "blobs", "sha256");
    this.#ingestDirectory = join(root, "ingest");
  }

  /** Makes the directories and removes what a kill left half-written. */
  async open(): Promise<void> {
    await makeDirectory(this.#directory);
    await makeDirectory(this.#ingestDirectory);
    for (const directory of [this.#directory, this.#ingestDirectory]) {
      for (const name of await readdir(directory)) {
        if (name.includes(TEMP_MARK)) await rm(join(directory, name), { force: true });
      }
    }
  }

  /** Where a blob lies or would lie. */
  path(digest: string): string {
    if (!isDigest(digest)) throw noBlob(digest);
    return join(this.#directory, hexOf(digest));
  }

  /** Where a download of that digest is kept between tries: the same place each time, so that it can be resumed. */
  partialPath(digest: string): string {
    return join(this.#ingestDirectory, `${hexOf(digest)}.part`);
  }

  /** A place for content whose digest is not known yet; removed at the next start if a kill leaves it. */
  temporaryPath(label: string): string {
    return join(this.#ingestDirectory, `${label}${TEMP_MARK}${process.pid}-${++this.#temporaries}`);
  }
  #temporaries = 0;

  get ingestDirectory(): string {
    return this.#ingestDirectory;
  }

  /** Size of a blob; undefined where there is none. */
  async sizeOf(digest: string): Promise<number | undefined> {
    try {
      return (await stat(this.path(digest))).size;
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw KilnError.from(error, `look up blob ${digest}`);
    }
  }

  /** Publishes a complete download under the digest that it was found to have. */
  async publish(ingest: Ingest, digest: string): Promise<void> {
    await ingest.publish(this.path(digest));
  }

  /** Stores a small document; its digest comes back. */
  async put(bytes: Uint8Array): Promise<string> {
    const digest = digestOf(bytes);
    if ((await this.sizeOf(digest)) !== bytes.length) await writeFileAtomic(this.path(digest), bytes);
    return digest;
  }

  /** The whole of a small blob. @throws KilnError not_found `blob-not-found`, resource_exhausted `image-too-large` */
  async read(digest: string, limitBytes: number): Promise<Buffer> {
    const path = this.path(digest);
    try {
      const file = await open(path, "r");
      try {
        const { size } = await file.stat();
        if (size > limitBytes) throw tooLarge(digest, size, limitBytes);
        return await file.readFile();
      } finally {
        await file.close();
      }
    } catch (error) {
      if (errnoOf(error) === "ENOENT") throw noBlob(digest);
      throw KilnError.from(error, `read blob ${digest}`);
    }
  }

  /** The blob's bytes in chunks of 1 MiB. */
  stream(digest: string): AsyncIterable<Uint8Array> {
    return createReadStream(this.path(digest), { highWaterMark: 1024 * 1024 });
  }

  /** True while somebody keeps the blob from the sweep. */
  isLeased(digest: string): boolean {
    return this.#pins.has(digest);
  }

  lease(): Lease {
    const mine: string[] = [];
    const release = () => {
      for (const digest of mine.splice(0)) this.#unpin(digest);
    };
    return {
      pin: async (digest) => {
        await this.#lock.run("sweep", async () => {
          mine.push(digest);
          this.#pins.set(digest, (this.#pins.get(digest) ?? 0) + 1);
        });
      },
      release,
    };
  }

  /** Runs `body` while no lease takes another blob: between a question and an unlink nobody may begin to use it. */
  async whileNobodyPins<T>(body: () => Promise<T>): Promise<T> {
    return await this.#lock.run("sweep", body);
  }

  /**
   * Removes blobs that nobody needs. Call it inside whileNobodyPins.
   *
   * @param needed asked for each blob; a leased one stays without asking
   */
  async sweep(needed: (digest: string) => boolean): Promise<{ blobs: number; bytes: number }> {
    let blobs = 0;
    let bytes = 0;
    for (const digest of await this.list()) {
      const path = this.path(digest);
      const size = await allocatedBytes(path);
      if (this.#pins.has(digest) || needed(digest)) continue;
      await removeFile(path);
      bytes += size;
      blobs++;
    }
    return { blobs, bytes };
  }

  /** Digests of all blobs. */
  async list(): Promise<string[]> {
    const names = await readdir(this.#directory);
    return names.map((name) => `sha256:${name}`).filter(isDigest);
  }

  #unpin(digest: string): void {
    const left = (this.#pins.get(digest) ?? 1) - 1;
    if (left === 0) this.#pins.delete(digest);
    else this.#pins.set(digest, left);
  }
}

function noBlob(digest: string): KilnError {
  return new KilnError(Code.NotFound, `no such blob: ${digest.slice(0, 80)}`, {
    reason: ImageReason.BlobNotFound,
  });
}

function tooLarge(digest: string, size: number, limit: number): KilnError {
  return new KilnError(Code.ResourceExhausted, `blob ${digest} has ${size} bytes, more than ${limit}`, {
    reason: ImageReason.ImageTooLarge,
  });
}
