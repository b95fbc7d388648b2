// Unpacks what kernels and modules are packed with: LZ4 and gzip here, zstd by Node, the zstd program or fzstd, xz and lzma by the xz
// program. The size is known beforehand or bounded, so a bomb costs at most that.

import { promisify } from "node:util";
import * as zlib from "node:zlib";
import { Decompress as ZstdDecompress } from "fzstd";
import { hasReason, isAbortError } from "../base/errors.js";
import type { Abortable } from "../base/progress.js";
import { describeBytes, invalidKernel } from "./invalid-kernel.js";
import { decodeLz4Legacy } from "./lz4-legacy.js";
import { runProgram } from "./program.js";

/** No x86-64 vmlinux without debug information comes near. */
export const MAX_VMLINUX = 512 * 1024 * 1024;

export type Compression = "lz4" | "gzip" | "zstd" | "xz" | "lzma" | "bzip2" | "lzo";

const MAGICS: readonly [string, Compression][] = [
  ["02214c18", "lz4"],
  ["1f8b08", "gzip"],
  ["28b52ffd", "zstd"],
  ["fd377a585a00", "xz"],
  ["5d0000", "lzma"],
  ["425a68", "bzip2"],
  ["894c5a4f", "lzo"],
];

/** The packing of some bytes by their magic; undefined for anything else. */
export function detectCompression(data: Buffer): Compression | undefined {
  const head = data.toString("hex", 0, 6);
  return MAGICS.find(([magic]) => head.startsWith(magic))?.[1];
}

/**
 * Unpacks a kernel's payload. The kernel's build appends the unpacked size as a u32 to every format but gzip, whose own
 * trailer is just that (scripts/Makefile.lib, size_append), so the size is always the last four bytes.
 *
 * @throws KilnError `invalid-kernel`; `program-missing` for xz
 */
export async function unpackPayload(payload: Buffer, options: Abortable = {}): Promise<Buffer> {
  const compression = detectCompression(payload);
  if (compression === undefined) {
    throw invalidKernel(`its payload is packed in an unknown way: ${describeBytes(payload)}`);
  }
  if (payload.length < 8) throw invalidKernel("its payload is cut off");
  const size = payload.readUInt32LE(payload.length - 4);
  if (size === 0 || size > MAX_VMLINUX) throw invalidKernel(`its payload claims to unpack to ${size} bytes`);
  const packed = compression === "gzip" ? payload : payload.subarray(0, payload.length - 4);
  const unpacked = await unpack(packed, compression, size, options);
  if (unpacked.length !== size) {
    throw invalidKernel(`its payload unpacks to ${unpacked.length} bytes where ${size} were announced`);
  }
  return unpacked;
}

/**
 * Unpacks `data` to at most `limit` bytes (LZ4: to exactly that many).
 *
 * @throws KilnError `invalid-kernel` where the data are damaged, unpack to more, or the packing is not supported
 */
export async function unpack(
  data: Buffer,
  compression: Compression,
  limit: number,
  options: Abortable = {},
): Promise<Buffer> {
  try {
    switch (compression) {
      case "lz4":
        return Buffer.from((await decodeLz4Legacy(data, limit)).buffer);
      case "gzip":
        return await promisify(zlib.gunzip)(data, { maxOutputLength: limit });
      case "zstd":
        return await unpackZstd(data, limit, options);
      case "xz":
      case "lzma":
        return await unpackXz(data, compression, limit, options);
    }
  } catch (error) {
    if (isAbortError(error) || PASSED_ON.some((reason) => hasReason(error, reason))) throw error;
    throw invalidKernel(`its ${compression} data are damaged or larger than ${limit} bytes`, error);
  }
  throw invalidKernel(`it is packed with ${compression}, which kiln does not unpack`);
}

async function unpackXz(
  data: Buffer,
  format: "xz" | "lzma",
  limit: number,
  options: Abortable,
): Promise<Buffer> {
  const args = ["--decompress", "--stdout", "--quiet", `--format=${format}`];
  const result = await runProgram("xz", args, {
    input: data,
    maxOutput: limit,
    signal: options.signal,
    install: "install xz-utils",
  });
  return result.stdout;
}

/** Failures of unpacking that say nothing about the data. */
const PASSED_ON = ["invalid-kernel", "program-missing", "cancelled", "permission-denied"];

type ZstdFunction = (
  data: Buffer,
  options: { maxOutputLength: number },
  done: (error: Error | null, result: Buffer) => void,
) => void;

async function unpackZstd(data: Buffer, limit: number, options: Abortable): Promise<Buffer> {
  const native = (zlib as { zstdDecompress?: ZstdFunction }).zstdDecompress; // Node 22.15 and later
  if (native !== undefined) return promisify(native)(data, { maxOutputLength: limit });
  try {
    const args = ["--decompress", "--stdout", "--quiet", "--long=31"];
    const result = await runProgram("zstd", args, { input: data, maxOutput: limit, signal: options.signal });
    return result.stdout;
  } catch (error) {
    if (!hasReason(error, "program-missing")) throw error;
    return unpackZstdInSteps(data, limit);
  }
}

/**
 * The last resort, where neither Node nor the host can: a kernel takes it ten seconds, in steps that give the event
 * loop a turn, because fzstd is synchronous.
 */
export async function unpackZstdInSteps(data: Buffer, limit: number): Promise<Buffer> {
  const step = 256 * 1024;
  const chunks: Uint8Array[] = [];
  let size = 0;
  const decoder = new ZstdDecompress((chunk) => {
    size += chunk.length;
    if (size > limit) throw new RangeError(`zstd data unpack to more than ${limit} bytes`);
    chunks.push(chunk.slice());
  });
  for (let at = 0; at < data.length; at += step) {
    decoder.push(data.subarray(at, at + step), at + step >= data.length);
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  return Buffer.concat(chunks);
}
