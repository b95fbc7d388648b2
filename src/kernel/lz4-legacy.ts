// LZ4 legacy frames, the form in which kernels carry their payload (lz4's doc/lz4_Frame_format.md, "Legacy frame",
// and doc/lz4_Block_format.md). Node has no LZ4. Knows nothing of kernels.
//
// A frame is the magic, then blocks: u32 length, then that many bytes of one LZ4 block which unpacks to at most 8 MiB.
// Strict: every length is checked against both buffers before it is used, so no input can write outside the output.

import { invalidKernel } from "./invalid-kernel.js";

const MAGIC = 0x184c2102;
const BLOCK_LIMIT = 8 * 1024 * 1024;
/** LZ4_COMPRESSBOUND of a full block: no honest block is longer. */
const PACKED_LIMIT = BLOCK_LIMIT + Math.floor(BLOCK_LIMIT / 255) + 16;
const MIN_MATCH = 4;
/** Below this, a plain loop beats the call into copyWithin. */
const SHORT_COPY = 24;

/** True where `data` begins as a legacy frame does. */
function isLz4Legacy(data: Uint8Array): boolean {
  return data.length >= 4 && readU32(data, 0) === MAGIC;
}

/**
 * Unpacks a whole legacy frame of exactly `size` bytes.
 *
 * Gives the event loop a turn between blocks: a kernel takes some 300 ms, and kilnd serves other VMs meanwhile.
 *
 * @throws KilnError `invalid-kernel` for anything but a well-formed frame of that size
 */
export async function decodeLz4Legacy(data: Uint8Array, size: number): Promise<Uint8Array> {
  if (!isLz4Legacy(data)) throw broken("no legacy frame magic");
  const output = new Uint8Array(size);
  let read = 4;
  let written = 0;
  while (read < data.length) {
    if (data.length - read < 4) throw broken("a block's length is cut off");
    const packed = readU32(data, read);
    read += 4;
    if (packed === MAGIC) continue; // concatenated frames are allowed
    if (packed === 0 || packed > PACKED_LIMIT || packed > data.length - read) {
      throw broken(`a block claims ${packed} bytes`);
    }
    const limit = Math.min(size, written + BLOCK_LIMIT);
    written = decodeBlock(data, read, read + packed, output, written, limit);
    read += packed;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  if (written !== size) throw broken(`it unpacks to ${written} bytes where ${size} were announced`);
  return output;
}

/**
 * Unpacks one LZ4 block from source[read, readEnd) into target[start, limit).
 *
 * @returns the end of what was written
 */
export function decodeBlock(
  source: Uint8Array,
  read: number,
  readEnd: number,
  target: Uint8Array,
  start: number,
  limit: number,
): number {
  let at = read;
  let out = start;
  const byte = (): number => {
    if (at >= readEnd) throw broken("a block ends inside a sequence");
    return source[at++] as number;
  };
  /** A nibble of 15 goes on in bytes of 255; more than a block's size is refused before it can overflow. */
  const length = (nibble: number): number => {
    let total = nibble;
    if (nibble !== 15) return total;
    for (let more = 255; more === 255; ) {
      more = byte();
      total += more;
      if (total > BLOCK_LIMIT) throw broken("a length is larger than a block");
    }
    return total;
  };

  for (;;) {
    const token = byte();
    const literals = length(token >> 4);
    if (literals > readEnd - at || literals > limit - out) throw broken("literals run over the end");
    copyForward(source, at, target, out, literals);
    at += literals;
    out += literals;
    if (at === readEnd) return out; // the last sequence has no match
    const offset = byte() | (byte() << 8);
    const match = length(token & 15) + MIN_MATCH;
    if (offset === 0 || offset > out - start) throw broken("a match points before its block");
    if (match > limit - out) throw broken("a match runs over the end");
    copyMatch(target, out, offset, match);
    out += match;
  }
}

function copyForward(source: Uint8Array, from: number, target: Uint8Array, to: number, count: number): void {
  if (count >= SHORT_COPY) {
    target.set(source.subarray(from, from + count), to);
    return;
  }
  for (let i = 0; i < count; i++) target[to + i] = source[from + i] as number;
}

function copyMatch(target: Uint8Array, to: number, offset: number, count: number): void {
  if (count >= SHORT_COPY && offset >= count) {
    target.copyWithin(to, to - offset, to - offset + count);
    return;
  }
  // An overlapping match repeats what it has just written: byte by byte is the definition.
  for (let i = 0; i < count; i++) target[to + i] = target[to + i - offset] as number;
}

function readU32(data: Uint8Array, at: number): number {
  return new DataView(data.buffer, data.byteOffset, data.byteLength).getUint32(at, true);
}

function broken(why: string): Error {
  return invalidKernel(`its LZ4 payload is damaged: ${why}`);
}
