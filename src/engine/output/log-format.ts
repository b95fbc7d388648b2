// How a VM's output lies on disk: frames of a fixed header and raw bytes, each with its own checksum, so that a
// record torn by a kill is told from a whole one. Pure; files are log-segments.ts's.
//
// Frame (little endian): magic u32 "KLG1", length u32, crc32 u32 of all that follows, stream u8, 3 zero bytes,
// sequence u64, time i64 (ns since 1970), data.

import { crc32 } from "node:zlib";

/** Which of its two streams a program wrote to. */
export type LogStream = "stdout" | "stderr";

export interface LogRecord {
  /** Of the first byte of data; counts bytes over both streams since the boot. */
  readonly sequence: bigint;
  readonly stream: LogStream;
  readonly timeNs: bigint;
  readonly data: Uint8Array;
}

const MAGIC = 0x31474c4b;
export const FRAME_HEADER_BYTES = 32;
/** Longest data of one frame: longer records are written as several. */
export const MAX_FRAME_DATA = 64 * 1024;

/** The frames of a record, ready to be written in one go. */
export function encodeRecord(record: LogRecord): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at < record.data.length; at += MAX_FRAME_DATA) {
    frames.push(encodeFrame(record, at, record.data.subarray(at, at + MAX_FRAME_DATA)));
  }
  return frames;
}

function encodeFrame(record: LogRecord, offset: number, data: Uint8Array): Buffer {
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + data.length);
  frame.writeUInt32LE(MAGIC, 0);
  frame.writeUInt32LE(data.length, 4);
  frame.writeUInt8(record.stream === "stdout" ? 1 : 2, 12);
  frame.writeBigUInt64LE(record.sequence + BigInt(offset), 16);
  frame.writeBigInt64LE(record.timeNs, 24);
  frame.set(data, FRAME_HEADER_BYTES);
  frame.writeUInt32LE(crc32(frame.subarray(12)), 8);
  return frame;
}

export type Parsed =
  | { readonly kind: "frame"; readonly record: LogRecord; readonly end: number }
  /** More bytes may make it a frame. */
  | { readonly kind: "incomplete" }
  /** Never a frame, whatever follows. */
  | { readonly kind: "corrupt" };

/** Reads the frame at `at`. The record's data points into `buffer`. */
export function parseFrame(buffer: Buffer, at: number): Parsed {
  if (buffer.length - at < FRAME_HEADER_BYTES) return { kind: "incomplete" };
  const length = buffer.readUInt32LE(at + 4);
  if (buffer.readUInt32LE(at) !== MAGIC || length === 0 || length > MAX_FRAME_DATA)
    return { kind: "corrupt" };
  const end = at + FRAME_HEADER_BYTES + length;
  if (end > buffer.length) return { kind: "incomplete" };
  if (buffer.readUInt32LE(at + 8) !== crc32(buffer.subarray(at + 12, end))) return { kind: "corrupt" };
  return {
    kind: "frame",
    end,
    record: {
      sequence: buffer.readBigUInt64LE(at + 16),
      stream: buffer.readUInt8(at + 12) === 2 ? "stderr" : "stdout",
      timeNs: buffer.readBigInt64LE(at + 24),
      data: buffer.subarray(at + FRAME_HEADER_BYTES, end),
    },
  };
}
