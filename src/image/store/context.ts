// What every way of bringing an image in shares: the blobs, the records, and the rule of what may be swept.

import { join } from "node:path";
import { Code, KilnError } from "../../base/errors.js";
import { freeBytes, makeDirectory } from "../../base/files.js";
import { KeyedLock } from "../../base/lock.js";
import type { Logger } from "../../base/log.js";
import { SingleFlight } from "../../base/single-flight.js";
import { formatSize } from "../../base/units.js";
import type { LayerLimits } from "../layers/index.js";
import type { ImageLimits } from "../limits.js";
import type { StoredImage } from "../types.js";
import { BlobStore } from "./blobs.js";
import { PullJournal } from "./journal.js";
import { blobsOf, type ImageRecord, ImageRecords } from "./records.js";

export class StoreContext {
  readonly root: string;
  readonly limits: ImageLimits;
  readonly layerLimits: LayerLimits;
  readonly log: Logger;
  readonly blobs: BlobStore;
  readonly records: ImageRecords;
  readonly journal: PullJournal;
  /** Downloads of blobs, by digest: two pulls that need the same one share it. */
  readonly downloads = new SingleFlight<void>();
  // names.json is one file: its changes follow one another.
  readonly #lock = new KeyedLock();

  constructor(root: string, limits: ImageLimits, layerLimits: LayerLimits, log: Logger) {
    this.root = root;
    this.limits = limits;
    this.layerLimits = layerLimits;
    this.log = log;
    this.blobs = new BlobStore(root);
    this.records = new ImageRecords(root, log);
    this.journal = new PullJournal(join(root, "ingest"));
  }

  /** Brings the disk into order after whatever ended the last run. */
  async open(): Promise<void> {
    await makeDirectory(this.root);
    await this.blobs.open();
    await this.journal.open(this.limits.resumeMs, Date.now());
    await this.records.open((record) => this.#isComplete(record));
    // Before the sweep: what only such an entry keeps would outlive the image's removal.
    await this.journal.endDone((digest) => this.records.uses(digest));
    await this.sweep();
  }

  /** One change of the records at a time. */
  async change<T>(body: () => Promise<T>): Promise<T> {
    return await this.#lock.run("records", body);
  }

  /** Makes a complete image known. Its blobs must be leased until this has resolved. */
  async commit(
    record: ImageRecord,
    names: readonly string[],
    digests: readonly string[],
  ): Promise<StoredImage> {
    return await this.change(() => this.records.add(record, names, digests));
  }

  /**
   * Removes blobs that no image and no interrupted pull needs, and downloads that nobody will resume. What is leased
   * stays; the questions are asked for each file when its turn comes, because an image may be committed meanwhile.
   */
  async sweep(): Promise<{ blobs: number; bytes: number }> {
    return await this.blobs.whileNobodyPins(async () => {
      const swept = await this.blobs.sweep(
        (digest) => this.records.uses(digest) || this.journal.needs(digest),
      );
      const partial = await this.journal.removePartials(
        (digest) => this.blobs.isLeased(digest) || this.journal.needs(digest),
      );
      return { blobs: swept.blobs, bytes: swept.bytes + partial };
    });
  }

  /** A sweep after work that has ended, well or not: its own failure is logged, because it must hide no other. */
  async tidy(): Promise<void> {
    try {
      await this.sweep();
    } catch (error) {
      this.log.warn("could not sweep the image store; the next start does", {
        error: KilnError.from(error).message,
      });
    }
  }

  /**
   * Reports a full disk before it is full.
   *
   * @throws KilnError resource_exhausted `host-disk-full`
   */
  async reserveSpace(bytes: number, what: string): Promise<void> {
    const free = await freeBytes(this.root);
    const needed = bytes + this.limits.diskReserveBytes;
    if (needed <= free) return;
    throw new KilnError(
      Code.ResourceExhausted,
      `${what}: only ${formatSize(free)} are free at ${this.root}, ${formatSize(needed)} are needed`,
      {
        reason: "host-disk-full",
        hint: "free space, for example with `kiln system prune`, or lower disk.reserve in config.toml",
        details: { freeBytes: String(free), neededBytes: String(needed) },
      },
    );
  }

  async #isComplete(record: ImageRecord): Promise<boolean> {
    const sizes = new Map(record.layers.map(({ digest, sizeBytes }) => [digest, sizeBytes]));
    for (const digest of blobsOf(record)) {
      const size = await this.blobs.sizeOf(digest);
      if (size === undefined || (sizes.has(digest) && sizes.get(digest) !== size)) return false;
    }
    return true;
  }
}
