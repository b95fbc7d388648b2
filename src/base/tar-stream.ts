// A stream of tar entries, read and written in one pass.

import {
  BLOCK_BYTES,
  badArchive,
  entryOf,
  MAX_EXTENSION_BYTES,
  MAX_EXTENSIONS_BYTES,
  paddingOf,
  parsePaxRecords,
  parseTarHeader,
  type RawHeader,
  renameTarHeader,
  type TarEntry,
} from "./tar-format.js";

/** An entry and its data. The data must be read, or left, before the next entry is asked for. */
export interface TarMember {
  readonly entry: TarEntry;
  readonly data: AsyncIterable<Uint8Array>;
  /** Its own header and all that stood before it, as they came. */
  readonly header: RawHeader;
  readonly pax: ReadonlyMap<string, string>;
}

/** Two blocks of zeros: the end of an archive. */
export const TAR_END: Uint8Array = Buffer.alloc(2 * BLOCK_BYTES);

/**
 * The entries of an archive. Data that the consumer leaves is passed over.
 *
 * @throws KilnError data_loss `bad-archive`
 */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarMember, void> {
  const bytes = new ByteReader(source);
  try {
    let pax = new Map<string, string>();
    let extended = 0;
    for (;;) {
      const block = await bytes.take(BLOCK_BYTES);
      const header = block === undefined ? undefined : parseTarHeader(block);
      if (header === undefined) return await bytes.drain();
      if (await readExtension(bytes, header, pax)) {
        extended += BLOCK_BYTES + header.size;
        if (extended > MAX_EXTENSIONS_BYTES) throw badArchive("an entry has too many extended headers");
        continue;
      }
      const entry = entryOf(header, pax);
      const data = bytes.limited(entry.size);
      yield { entry, data, header, pax };
      pax = new Map();
      extended = 0;
      for await (const _ of data);
      await bytes.skip(paddingOf(entry.size));
    }
  } finally {
    await bytes.close();
  }
}

/** Takes a header that only describes the next one into `pax`; false where it is an entry of its own. */
async function readExtension(
  bytes: ByteReader,
  header: RawHeader,
  pax: Map<string, string>,
): Promise<boolean> {
  if (!"xgLK".includes(header.flag)) return false;
  if (header.size > MAX_EXTENSION_BYTES) throw badArchive("an extended header is too long");
  const body = await bytes.take(header.size + paddingOf(header.size));
  if (body === undefined) throw badArchive("it ends within an extended header");
  const content = body.subarray(0, header.size);
  if (header.flag === "x") for (const [key, value] of parsePaxRecords(content)) pax.set(key, value);
  else if (header.flag !== "g") {
    const text = content.toString("latin1").replace(/\0.*$/s, "");
    pax.set(header.flag === "L" ? "path" : "linkpath", text);
  }
  return true;
}

/** Exact lengths out of a stream of chunks. */
class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #held: Buffer = Buffer.alloc(0);
  #ended = false;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** `length` bytes; undefined at a clean end. */
  async take(length: number): Promise<Buffer | undefined> {
    const parts: Buffer[] = [];
    let missing = length;
    while (missing > 0) {
      const part = await this.#some(missing);
      if (part === undefined) {
        if (missing === length) return undefined;
        throw badArchive("it ends within an entry");
      }
      parts.push(part);
      missing -= part.length;
    }
    return parts.length === 1 ? parts[0] : Buffer.concat(parts);
  }

  async skip(length: number): Promise<void> {
    for await (const _ of this.limited(length));
  }

  /** The next `length` bytes as they come. One iterator: leaving it and iterating again goes on where it stopped. */
  limited(length: number): AsyncIterable<Uint8Array> {
    let missing = length;
    const next = async (): Promise<IteratorResult<Uint8Array>> => {
      if (missing === 0) return { done: true, value: undefined };
      const part = await this.#some(missing);
      if (part === undefined) throw badArchive("it ends within a file");
      missing -= part.length;
      return { done: false, value: part };
    };
    return { [Symbol.asyncIterator]: () => ({ next }) };
  }

  /** Reads what follows the archive's end, so that the sender is not left stuck. */
  async drain(): Promise<void> {
    while (!this.#ended) await this.#fill();
  }

  async close(): Promise<void> {
    if (!this.#ended) await this.#source.return?.();
  }

  async #some(most: number): Promise<Buffer | undefined> {
    while (this.#held.length === 0) {
      if (this.#ended) return undefined;
      await this.#fill();
    }
    const part = this.#held.subarray(0, most);
    this.#held = this.#held.subarray(part.length);
    return part;
  }

  async #fill(): Promise<void> {
    const next = await this.#source.next();
    if (next.done === true) this.#ended = true;
    else this.#held = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength);
  }
}

/**
 * The same archive with other names, and all else as it came: how an archive that begins with the source's name lands under the target's.
 *
 * @param rename gives the new name, or undefined to leave the entry out
 */
export async function* renameTar(
  source: AsyncIterable<Uint8Array>,
  rename: (name: string) => string | undefined,
): AsyncGenerator<Uint8Array, void> {
  for await (const { entry, data, header, pax } of readTar(source)) {
    const name = rename(entry.name);
    const linkName = entry.type === "hardlink" ? rename(entry.linkName) : entry.linkName;
    if (name === undefined || linkName === undefined) continue;
    yield renameTarHeader(header, pax, { ...entry, name, linkName });
    yield* data;
    yield Buffer.alloc(paddingOf(entry.size));
  }
  yield TAR_END;
}
