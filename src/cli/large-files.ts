// Files that go through as streams: archives to be read, archives that are written.

import { createReadStream } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { KilnError } from "../base/errors.js";
import { tempNameFor } from "../base/files.js";
import type { Context } from "./context.js";

/** @param file "-": stdin */
export async function* bytesOf(context: Context, file: string): AsyncGenerator<Uint8Array> {
  const source = file === "-" ? context.stdin : createReadStream(file, { highWaterMark: 256 * 1024 });
  try {
    yield* source as AsyncIterable<Uint8Array>;
  } catch (error) {
    throw KilnError.from(error, `read ${file === "-" ? "stdin" : file}`);
  }
}

/** The file appears whole or not at all. */
export async function toFile(
  context: Context,
  tar: AsyncIterable<Uint8Array>,
  output: string,
): Promise<void> {
  const path = resolve(context.cwd, output);
  const half = tempNameFor(path);
  try {
    // Open before anything can fail: a stream that opens by itself may do so after its file was removed.
    const file = await open(half, "wx");
    await pipeline(tar, file.createWriteStream());
    await rename(half, path);
  } catch (error) {
    await rm(half, { force: true });
    throw error instanceof KilnError ? error : KilnError.from(error, `write ${output}`);
  }
}
