// The log of one build: kept where it failed and named in the error, removed where all went well.

import { createWriteStream, type WriteStream } from "node:fs";
import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { finished } from "node:stream/promises";
import { KilnError } from "../../base/errors.js";
import { makePassage } from "./work-place.js";

/** Logs of failures that are kept. */
const KEPT = 5;

/**
 * Runs `body` with an open log.
 *
 * @throws KilnError what `body` throws, with the log's path in hint and details unless the signal has aborted
 */
export async function withBuildLog<T>(
  directory: string,
  name: string,
  signal: AbortSignal | undefined,
  body: (log: WriteStream) => Promise<T>,
): Promise<T> {
  await makePassage(directory); // who built it may read the log that the error names, also where kilnd is root
  const path = join(directory, `${name}.log`);
  const log = createWriteStream(path, { mode: 0o644 });
  const closed = finished(log);
  closed.catch(() => undefined); // a log that can't be written fails no build
  try {
    const result = await body(log).finally(async () => {
      log.end();
      await closed.catch(() => undefined);
    });
    await rm(path, { force: true });
    return result;
  } catch (error) {
    // Whatever the abort's reason was, nobody wants to read how far it came.
    if (signal?.aborted === true) {
      await rm(path, { force: true });
      throw error;
    }
    await removeOldest(directory);
    throw withLog(error, path);
  }
}

function withLog(error: unknown, path: string): KilnError {
  const failure = KilnError.from(error);
  return new KilnError(failure.code, failure.message, {
    reason: failure.reason,
    hint: failure.hint === undefined ? `the whole log: ${path}` : `${failure.hint}; the whole log: ${path}`,
    details: { ...failure.details, log: path },
    cause: failure,
  });
}

async function removeOldest(directory: string): Promise<void> {
  const logs: { path: string; time: number }[] = [];
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    if (name.endsWith(".log")) logs.push({ path, time: (await stat(path)).mtimeMs });
  }
  logs.sort((a, b) => b.time - a.time);
  for (const { path } of logs.slice(KEPT)) await rm(path, { force: true });
}
