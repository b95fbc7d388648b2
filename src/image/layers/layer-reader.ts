// One layer's blob as its uncompressed, verified bytes: both digests, the size and the limits are checked while it
// streams. Nothing read from it may be believed before the loop over chunks() has ended without an error.

import { createHash, type Hash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { Code, KilnError } from "../../base/errors.js";
import { formatMemory } from "../../base/units.js";
import type { LayerInfo } from "../types.js";
import type { ByteStream } from "./byte-stream.js";
import { COMPRESSION_MAGIC_BYTES, type Compression, detectCompression } from "./compression.js";
import { decompress } from "./decompress.js";
import { expansionLimit, type LayerLimits, limitExceeded } from "./limits.js";

/** A layer and the file that holds its blob. */
export interface LayerBlob extends LayerInfo {
  readonly path: string;
}

export interface LayerReaderOptions {
  readonly limits: LayerLimits;
  /** Told how many bytes of the blob are done. */
  readonly onRead?: ((bytes: number) => void) | undefined;
  readonly aheadBytes?: number;
}

const READ_SIZE = 2 * 1024 * 1024;

export class LayerReader {
  readonly #blob: LayerBlob;
  readonly #options: LayerReaderOptions;
  readonly #file: FileHandle;
  readonly #blobHash: Hash = createHash("sha256");
  readonly #source: AsyncGenerator<Uint8Array, void, undefined>;
  readonly #stream: ByteStream;
  /** The blob's bytes are the tar's bytes: one digest speaks for both. */
  readonly #isPlain: boolean;

  private constructor(
    blob: LayerBlob,
    file: FileHandle,
    compression: Compression,
    options: LayerReaderOptions,
  ) {
    this.#blob = blob;
    this.#file = file;
    this.#options = options;
    this.#isPlain = compression === "none";
    this.#source = this.#readBlob();
    const { aheadBytes } = options;
    this.#stream = decompress(this.#source, compression, { aheadBytes });
  }

  /**
   * Opens the blob and begins to decompress it, a few MiB ahead. Close it in any case. What the bytes are decides
   * about the compression, not what the manifest calls them: media types are wrong often enough, digests are not.
   *
   * @throws KilnError not_found; data_loss `layer-truncated` or `digest-mismatch` where the file's size is wrong
   */
  static async open(blob: LayerBlob, options: LayerReaderOptions): Promise<LayerReader> {
    const file = await open(blob.path, "r");
    try {
      const { size } = await file.stat();
      if (size < blob.sizeBytes) throw truncatedBlob(blob, size);
      if (size > blob.sizeBytes)
        throw mismatch(blob, "the blob's size", `${blob.sizeBytes} bytes`, `${size} bytes`);
      const first = Buffer.alloc(COMPRESSION_MAGIC_BYTES);
      const { bytesRead } = await file.read(first, 0, first.length, 0);
      return new LayerReader(blob, file, detectCompression(first.subarray(0, bytesRead)), options);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /**
   * The uncompressed bytes; once. A chunk is valid until the next one is asked for.
   *
   * @throws KilnError data_loss `digest-mismatch`, `layer-truncated`, `layer-corrupt`; resource_exhausted
   *   `layer-too-large`
   */
  async *chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    const { limits } = this.#options;
    const limit = expansionLimit(this.#blob.sizeBytes, limits);
    const hash = this.#isPlain ? undefined : createHash("sha256");
    let total = 0;
    for await (const chunk of this.#stream) {
      total += chunk.length;
      if (total > limit) throw tooLarge(this.#blob, limit, limits);
      hash?.update(chunk);
      yield chunk;
    }
    await this.#verify(hash);
  }

  async close(): Promise<void> {
    try {
      await this.#stream.close();
    } finally {
      await this.#file.close();
    }
  }

  async #verify(diffHash: Hash | undefined): Promise<void> {
    // A decompressor may stop before the blob's end: zeros after the last gzip member.
    while ((await this.#source.next()).done !== true);
    const digest = `sha256:${this.#blobHash.digest("hex")}`;
    if (digest !== this.#blob.digest) throw mismatch(this.#blob, "the blob", this.#blob.digest, digest);
    const diffId = diffHash === undefined ? digest : `sha256:${diffHash.digest("hex")}`;
    if (diffId !== this.#blob.diffId) {
      throw mismatch(this.#blob, "the uncompressed data", this.#blob.diffId, diffId);
    }
  }

  /** Two buffers in turns: the one given stays as it is until the next but one is read. */
  async *#readBlob(): AsyncGenerator<Uint8Array, void, undefined> {
    const size = this.#blob.sizeBytes;
    const most = Math.min(READ_SIZE, size);
    const buffers = [Buffer.allocUnsafe(most), Buffer.allocUnsafe(most)] as const;
    for (let position = 0, turn = 0; position < size; turn ^= 1) {
      const buffer = turn === 0 ? buffers[0] : buffers[1];
      const { bytesRead } = await this.#file.read(buffer, 0, Math.min(most, size - position), position);
      if (bytesRead === 0) throw truncatedBlob(this.#blob, position);
      const chunk = buffer.subarray(0, bytesRead);
      this.#blobHash.update(chunk);
      position += bytesRead;
      this.#options.onRead?.(position);
      yield chunk;
    }
  }
}

/**
 * The error to show for a layer that could not be read to its end. Where the blob isn't what its digest says, that
 * is the cause of all else; and the words of the tar reader and of the decompressor become those of layers.
 */
export async function explainLayerError(blob: LayerBlob, error: unknown): Promise<KilnError> {
  if (error instanceof KilnError && OWN_REASONS.has(error.reason)) return error;
  const known = KilnError.from(error, `layer ${blob.digest}`);
  if (known.code !== Code.DataLoss && known.code !== Code.InvalidArgument) return known;
  const digest = await digestOfFile(blob.path);
  if (digest !== blob.digest) return mismatch(blob, "the blob", blob.digest, digest, known);
  const reason = LAYER_REASONS.get(known.reason) ?? known.reason;
  const { hint, details } = known;
  return new KilnError(known.code, known.message, { reason, hint, details, cause: error });
}

/** Of errors that this file makes: they name the layer and its cause already. */
const OWN_REASONS: ReadonlySet<string> = new Set(["digest-mismatch", "layer-truncated", "layer-too-large"]);

const LAYER_REASONS: ReadonlyMap<string, string> = new Map([
  ["compression-truncated", "layer-truncated"],
  ["tar-truncated", "layer-truncated"],
  ["compression-corrupt", "layer-corrupt"],
  ["tar-corrupt", "layer-corrupt"],
]);

async function digestOfFile(path: string): Promise<string> {
  const file = await open(path, "r");
  try {
    const hash = createHash("sha256");
    const buffer = Buffer.allocUnsafe(READ_SIZE);
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, READ_SIZE, null);
      if (bytesRead === 0) return `sha256:${hash.digest("hex")}`;
      hash.update(buffer.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}

const FETCH_AGAIN = "remove the image and pull or import it again";

function mismatch(blob: LayerBlob, what: string, expected: string, got: string, cause?: unknown): KilnError {
  const message = `layer ${blob.digest}: ${what} is ${got} where ${expected} was expected`;
  return new KilnError(Code.DataLoss, message, {
    reason: "digest-mismatch",
    hint: FETCH_AGAIN,
    details: { expected, got },
    cause,
  });
}

function truncatedBlob(blob: LayerBlob, got: number): KilnError {
  const message = `layer ${blob.digest}: the blob ends after ${got} of ${blob.sizeBytes} bytes`;
  return new KilnError(Code.DataLoss, message, {
    reason: "layer-truncated",
    hint: FETCH_AGAIN,
    details: { expected: String(blob.sizeBytes), got: String(got) },
  });
}

function tooLarge(blob: LayerBlob, limit: number, limits: LayerLimits): KilnError {
  const byRatio = limit < limits.maxLayerBytes;
  const why = byRatio ? ` (${limits.maxRatio} times its compressed size)` : "";
  const message = `layer ${blob.digest}: uncompressed it is larger than ${formatMemory(limit)}${why}`;
  return limitExceeded("layer-too-large", message, byRatio ? "maxRatio" : "maxLayerBytes");
}
