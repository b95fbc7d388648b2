// Reading an archive entry by entry: for image archives (docker save, OCI layout) and files copied in and out.
// The layer merge drives TarParser itself, because it must not pay for an iterator per file.

import { DEFAULT_LAYER_LIMITS, type LayerLimits } from "./limits.js";
import type { TarEntry, TarEvent } from "./tar-entry.js";
import { TarParser } from "./tar-parser.js";

export interface TarMember {
  readonly entry: TarEntry;
  /**
   * The entry's data, holes as zeros. May be left unread or half read: the next member skips the rest. A chunk is
   * valid until the next one is asked for.
   */
  readonly data: AsyncIterable<Uint8Array>;
}

const ZEROS = Buffer.alloc(64 * 1024);

/**
 * The members of an uncompressed tar, in order.
 *
 * @throws KilnError invalid_argument or data_loss `bad-tar`, `tar-corrupt`, `tar-truncated`, `tar-unknown-type`;
 *   resource_exhausted where a limit is passed. Limits for whole images (entries, total bytes) don't apply.
 */
export async function* readTarEntries(
  chunks: AsyncIterable<Uint8Array>,
  limits: LayerLimits = DEFAULT_LAYER_LIMITS,
): AsyncGenerator<TarMember, void, undefined> {
  const parser = new TarParser(limits);
  const source = chunks[Symbol.asyncIterator]();
  try {
    for (;;) {
      const event = await nextEvent(parser, source);
      if (event === undefined) return;
      if (event.type !== "entry") continue;
      const reading = { open: true };
      yield { entry: event.entry, data: memberData(parser, source, reading) };
      // What the consumer left: the loop above skips it.
      while (reading.open) reading.open = !isEnd(await nextEvent(parser, source));
    }
  } finally {
    await source.return?.();
  }
}

function isEnd(event: TarEvent | undefined): boolean {
  return event === undefined || event.type === "end";
}

/** The next event, pulling chunks as needed; undefined at the archive's end. */
async function nextEvent(
  parser: TarParser,
  source: AsyncIterator<Uint8Array>,
): Promise<TarEvent | undefined> {
  for (;;) {
    const event = parser.next();
    if (event !== undefined) return event;
    const next = await source.next();
    if (next.done === true) {
      parser.finish();
      return undefined;
    }
    parser.push(next.value);
  }
}

async function* memberData(
  parser: TarParser,
  source: AsyncIterator<Uint8Array>,
  reading: { open: boolean },
): AsyncGenerator<Uint8Array, void, undefined> {
  while (reading.open) {
    const event = await nextEvent(parser, source);
    if (event === undefined || isEnd(event)) {
      reading.open = false;
    } else if (event.type === "data") {
      yield event.bytes;
    } else if (event.type === "hole") {
      for (let left = event.length; left > 0; left -= ZEROS.length) {
        yield ZEROS.subarray(0, Math.min(left, ZEROS.length));
      }
    }
  }
}
