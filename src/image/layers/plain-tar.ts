// A tar that somebody sends, compressed or not: seen by its first bytes, since names lie now and then.

import { COMPRESSION_MAGIC_BYTES, detectCompression } from "./compression.js";
import { decompress } from "./decompress.js";

/** The tar's own bytes. One loop may read it; it is to be disposed of, read or not. */
export interface PlainTar extends AsyncIterable<Uint8Array>, AsyncDisposable {}

/** Whoever sends it on keeps some waiting: no more at a time than others send. */
const PIECE_BYTES = 256 * 1024;

/**
 * Reads the first bytes at once: what can't be read is refused before anything is done for it.
 *
 * @param source plain, gzip or zstd
 * @throws KilnError invalid_argument `unsupported-compression`; iterating: data_loss `compression-truncated`,
 *   `compression-corrupt`
 */
export async function openPlainTar(source: AsyncIterable<Uint8Array>): Promise<PlainTar> {
  const iterator = source[Symbol.asyncIterator]();
  const first: Uint8Array[] = [];
  try {
    while (lengthOf(first) < COMPRESSION_MAGIC_BYTES) {
      const { done, value } = await iterator.next();
      if (done === true) break;
      first.push(value);
    }
    const compression = detectCompression(Buffer.concat(first));
    const whole = rejoined(first, iterator);
    // Plain ones go through as they came, each chunk its own for good.
    if (compression === "none") return Object.assign(whole, closing(iterator));
    const stream = decompress(whole, compression);
    const dispose = async () => {
      await stream.close();
      await iterator.return?.();
    };
    return Object.assign(inPieces(stream), { [Symbol.asyncDispose]: dispose });
  } catch (error) {
    await iterator.return?.();
    throw error;
  }
}

function closing(iterator: AsyncIterator<Uint8Array>): AsyncDisposable {
  return {
    [Symbol.asyncDispose]: async () => {
      await iterator.return?.();
    },
  };
}

async function* rejoined(
  first: readonly Uint8Array[],
  iterator: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    yield* first;
    for (;;) {
      const { done, value } = await iterator.next();
      if (done === true) return;
      yield value;
    }
  } finally {
    await iterator.return?.();
  }
}

/** Copies: what decompression gives is valid until its next chunk alone. */
async function* inPieces(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of stream) {
    for (let at = 0; at < chunk.length; at += PIECE_BYTES) {
      yield Uint8Array.prototype.slice.call(chunk, at, at + PIECE_BYTES);
    }
  }
}

function lengthOf(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, { length }) => sum + length, 0);
}
