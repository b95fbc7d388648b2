// Which compression some bytes are in, by their magic: media types and file names lie now and then.

import { Code, KilnError } from "../../base/errors.js";
import type { LayerInfo } from "../types.js";

export type Compression = LayerInfo["compression"];

/** Bytes that detectCompression wants to see, where there are that many. */
export const COMPRESSION_MAGIC_BYTES = 6;

const UNSUPPORTED: readonly { name: string; magic: readonly number[] }[] = [
  { name: "xz", magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00] },
  { name: "bzip2", magic: [0x42, 0x5a, 0x68] },
  { name: "lz4", magic: [0x04, 0x22, 0x4d, 0x18] },
];

/**
 * @param first the stream's first bytes
 * @throws KilnError invalid_argument `unsupported-compression` for what is known and not read: xz, bzip2, lz4
 */
export function detectCompression(first: Uint8Array): Compression {
  if (startsWith(first, [0x1f, 0x8b])) return "gzip";
  if (startsWith(first, [0x28, 0xb5, 0x2f, 0xfd]) || isSkippableFrame(first)) return "zstd";
  for (const { name, magic } of UNSUPPORTED) {
    if (!startsWith(first, magic)) continue;
    throw new KilnError(Code.InvalidArgument, `${name} compression is not supported`, {
      reason: "unsupported-compression",
      hint: "compress with gzip or zstd, or not at all",
    });
  }
  return "none";
}

function startsWith(bytes: Uint8Array, magic: readonly number[]): boolean {
  return magic.every((byte, i) => bytes[i] === byte);
}

/** Frames 0x184D2A50 to 5F hold metadata before the data (RFC 8878, 3.1.2): zstd:chunked layers may start so. */
function isSkippableFrame(bytes: Uint8Array): boolean {
  return ((bytes[0] ?? 0) & 0xf0) === 0x50 && startsWith(bytes.subarray(1), [0x2a, 0x4d, 0x18]);
}
