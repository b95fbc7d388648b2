// The last words of a program that runs beside us: what it says when it fails.

import type { Readable } from "node:stream";

const MAX_TEXT_BYTES = 4096;

/** Reads a stream to its end and keeps the last of it. @returns what is kept so far */
export function keepText(stream: Readable | null): () => string {
  let kept = "";
  stream?.setEncoding("utf8");
  stream?.on("data", (text: string) => {
    kept = (kept + text).slice(-MAX_TEXT_BYTES);
  });
  // What was said before it broke is all that there is.
  stream?.on("error", () => undefined);
  return () => kept;
}
