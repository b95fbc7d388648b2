// A layer's diff id, found while its blob is fetched: what is written to disk is inflated and hashed beside it, so that
// who has waited for the registry need not wait for a second reading. An optimisation only: where it can't say (a
// resumed download, damaged data, a limit), the finished file is read.

import { createHash } from "node:crypto";
import { COMPRESSION_MAGIC_BYTES, decompress, detectCompression } from "../layers/index.js";

/** Compressed bytes that may wait: beyond them the download does. */
const AHEAD_BYTES = 4 * 1024 * 1024;

export class DiffTap {
  readonly #limitBytes: number;
  readonly #queue: Uint8Array[] = [];
  #queued = 0;
  #first = Buffer.alloc(0);
  #ended = false;
  #dropped = false;
  #running: Promise<string | undefined> | undefined;
  #wake: () => void = () => undefined;
  #room: () => void = () => undefined;

  /** @param limitBytes uncompressed; more is not hashed */
  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Takes the next bytes of the blob; resolves when there is room for more. */
  async push(chunk: Uint8Array): Promise<void> {
    if (this.#dropped) return;
    // Whoever gives it may use its memory again.
    this.#queue.push(Buffer.from(chunk));
    this.#queued += chunk.length;
    if (this.#running === undefined) this.#begin(chunk);
    this.#wake();
    while (this.#running !== undefined && this.#queued > AHEAD_BYTES && !this.#dropped) {
      await new Promise<void>((resolve) => {
        this.#room = resolve;
      });
    }
  }

  /** All bytes have been given. @returns undefined where it can't say */
  async end(): Promise<string | undefined> {
    this.#ended = true;
    this.#wake();
    return await this.#running;
  }

  /** The bytes so far were not the blob's. */
  drop(): void {
    this.#dropped = true;
    this.#queue.length = 0;
    this.#wake();
    this.#room();
  }

  #begin(chunk: Uint8Array): void {
    this.#first = Buffer.concat([this.#first, chunk.subarray(0, COMPRESSION_MAGIC_BYTES)]);
    if (this.#first.length < COMPRESSION_MAGIC_BYTES) return;
    const compression = detectCompression(this.#first);
    // Its own digest says all.
    if (compression === "none") {
      this.drop();
      return;
    }
    this.#running = this.#hash(compression).catch(() => {
      this.drop();
      return undefined;
    });
  }

  async #hash(compression: "gzip" | "zstd"): Promise<string | undefined> {
    const stream = decompress(this.#chunks(), compression);
    const hash = createHash("sha256");
    let total = 0;
    try {
      for await (const chunk of stream) {
        total += chunk.length;
        if (this.#dropped || total > this.#limitBytes) return undefined;
        hash.update(chunk);
      }
    } finally {
      await stream.close();
      // A decompressor may stop before the blob's end: zeros after the last gzip member.
      this.drop();
    }
    return `sha256:${hash.digest("hex")}`;
  }

  async *#chunks(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = this.#queue.shift();
      if (chunk !== undefined) {
        this.#queued -= chunk.length;
        this.#room();
        yield chunk;
      } else if (this.#dropped) {
        throw new Error("given up");
      } else if (this.#ended) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}
