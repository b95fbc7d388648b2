// Files that a user names and that are read whole: bounded, because /dev/zero has no end.

import { createReadStream } from "node:fs";
import { Code, KilnError } from "../base/errors.js";
import { formatMemory } from "../base/units.js";

/** @throws KilnError not_found `no-such-file`, invalid_argument `file-too-large`, ... */
export async function readSmallFile(path: string, what: string, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    // The end is inclusive: one byte more than may be there.
    for await (const chunk of createReadStream(path, { end: limit })) {
      chunks.push(chunk as Buffer);
      size += (chunk as Buffer).length;
    }
  } catch (error) {
    throw KilnError.from(error, `read ${what} ${path}`);
  }
  if (size <= limit) return Buffer.concat(chunks);
  throw new KilnError(Code.InvalidArgument, `${what} ${path} is larger than ${formatMemory(limit)}`, {
    reason: "file-too-large",
  });
}
