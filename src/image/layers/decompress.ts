// Compressed bytes in, large chunks out. Decompression runs off this thread (zlib's thread pool, a zstd program) and
// ahead of the consumer by a bounded amount, so that it overlaps with hashing, parsing and writing.

import { createGunzip } from "node:zlib";
import { type ByteStream, OUTPUT_CHUNK, oneAhead, passThrough, pipeThrough } from "./byte-stream.js";
import type { Compression } from "./compression.js";
import { openZstd } from "./zstd.js";

export interface DecompressOptions {
  /** Output that may wait for the consumer. Default 4 MiB. */
  readonly aheadBytes?: number | undefined;
}

const AHEAD_BYTES = 4 * 1024 * 1024;

/**
 * Decompresses a stream; several gzip members or zstd frames in a row are one. Work starts at once: always close it.
 *
 * @param source a chunk must stay as it is until the next but one is asked for
 * @returns chunks of up to 4 MiB, each valid until the next one is asked for. Iterating throws KilnError data_loss
 *   `compression-truncated` or `compression-corrupt`
 */
export function decompress(
  source: AsyncIterable<Uint8Array>,
  compression: Compression,
  options: DecompressOptions = {},
): ByteStream {
  const ahead = options.aheadBytes ?? AHEAD_BYTES;
  switch (compression) {
    case "none":
      return passThrough(oneAhead(source));
    case "zstd":
      return openZstd(source, ahead);
    case "gzip": {
      const gunzip = createGunzip({ chunkSize: OUTPUT_CHUNK });
      return pipeThrough(source, gunzip, gunzip, { ahead, describe: "gzip" });
    }
  }
}
