// A file's data written so that zeros take no room: the holes of a file come as zeros, for an archive knows no other way.

import type { FileHandle } from "node:fs/promises";

const ZEROS = Buffer.alloc(64 * 1024);

/**
 * Writes all of `data` into an empty file. Zeros are left out piece by piece, as they come.
 *
 * @returns the size of the file
 */
export async function writeSparsely(file: FileHandle, data: AsyncIterable<Uint8Array>): Promise<number> {
  let size = 0;
  let endsInHole = false;
  for await (const chunk of data) {
    for (let at = 0; at < chunk.length; at += ZEROS.length) {
      const piece = chunk.subarray(at, at + ZEROS.length);
      endsInHole = ZEROS.subarray(0, piece.length).equals(piece);
      if (!endsInHole) await writeAll(file, piece, size);
      size += piece.length;
    }
  }
  // No write has made a hole at the end.
  if (endsInHole) await file.truncate(size);
  return size;
}

async function writeAll(file: FileHandle, piece: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < piece.length; ) {
    const { bytesWritten } = await file.write(piece, at, piece.length - at, position + at);
    at += bytesWritten;
  }
}
