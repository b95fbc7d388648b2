// Sparse maps: which ranges of a file the archive holds data for. Old GNU ("S"), and PAX 0.0, 0.1 and 1.0.
// GNU tar manual, "Storing Sparse Files" and "Sparse Formats".

import { type LayerLimits, limitExceeded } from "./limits.js";
import { badTar } from "./tar-errors.js";
import { BLOCK } from "./tar-header.js";
import { parseDecimal, parseNumber } from "./tar-number.js";

/** A range of the file that has data in the archive; all else is hole. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
}

/** Extents in order, without overlap, within the file; their lengths add up to the data in the archive. */
export interface SparseMap {
  readonly size: number;
  readonly extents: readonly Extent[];
}

/** @throws KilnError invalid_argument `bad-tar`; resource_exhausted `sparse-map-too-large` */
export function checkedMap(
  pairs: readonly number[],
  size: number,
  stored: number,
  limits: LayerLimits,
  at: number,
): SparseMap {
  if (pairs.length % 2 !== 0) throw badTar(at, "the sparse map's last range has no length");
  checkCount(pairs.length / 2, limits, at);
  const extents: Extent[] = [];
  let end = 0;
  let total = 0;
  for (let i = 0; i < pairs.length; i += 2) {
    const offset = pairs[i] ?? 0;
    const length = pairs[i + 1] ?? 0;
    if (offset < end || offset + length > size)
      throw badTar(at, "the sparse map's ranges overlap or pass the end");
    end = offset + length;
    total += length;
    // GNU tar marks the file's end by an empty range.
    if (length > 0) extents.push({ offset, length });
  }
  if (total !== stored) throw badTar(at, `the sparse map tells of ${total} bytes where ${stored} are stored`);
  return { size, extents };
}

function checkCount(count: number, limits: LayerLimits, at: number): void {
  if (count <= limits.maxSparseExtents) return;
  throw limitExceeded(
    "sparse-map-too-large",
    `tar entry at byte ${at}: the sparse map has more than ${limits.maxSparseExtents} ranges`,
    "maxSparseExtents",
  );
}

const OLD_ENTRY = 24;

/** Collects an old GNU map: 4 ranges in the header, then blocks of 21 for as long as each says that one follows. */
export class OldGnuMap {
  readonly #pairs: number[] = [];
  readonly #size: number;
  readonly #at: number;
  readonly #limits: LayerLimits;
  #more: boolean;

  /** @param header the "S" entry's header block */
  constructor(header: Buffer, limits: LayerLimits, at: number) {
    this.#at = at;
    this.#limits = limits;
    this.#size = parseNumber(header, 483, 12, "sparse file size", at);
    if (this.#size < 0) throw badTar(at, "sparse file size is negative");
    this.#addRanges(header, 386, 4);
    this.#more = header[482] !== 0;
  }

  /** True where another map block stands before the data. */
  get wantsBlock(): boolean {
    return this.#more;
  }

  addBlock(block: Buffer): void {
    this.#addRanges(block, 0, 21);
    checkCount(this.#pairs.length / 2, this.#limits, this.#at);
    this.#more = block[504] !== 0;
  }

  map(stored: number): SparseMap {
    return checkedMap(this.#pairs, this.#size, stored, this.#limits, this.#at);
  }

  #addRanges(block: Buffer, start: number, count: number): void {
    for (let i = 0; i < count; i++) {
      const entry = start + i * OLD_ENTRY;
      // A range whose offset field starts with NUL is unused, and so are all after it.
      if (block[entry] === 0) return;
      const offset = parseNumber(block, entry, 12, "sparse offset", this.#at);
      const length = parseNumber(block, entry + 12, 12, "sparse length", this.#at);
      if (offset < 0 || length < 0) throw badTar(this.#at, "a sparse range is negative");
      this.#pairs.push(offset, length);
    }
  }
}

const LONGEST_NUMBER = 17;

/** Collects a PAX 1.0 map: decimal lines before the data, padded to whole blocks. The first line counts ranges. */
export class Pax1Map {
  readonly #numbers: number[] = [];
  readonly #at: number;
  readonly #limits: LayerLimits;
  #line = "";
  /** Map bytes taken, padding included. */
  #taken = 0;

  constructor(limits: LayerLimits, at: number) {
    this.#limits = limits;
    this.#at = at;
  }

  get wantsBlock(): boolean {
    const [count] = this.#numbers;
    return count === undefined || this.#numbers.length < 1 + 2 * count;
  }

  addBlock(block: Buffer): void {
    this.#taken += BLOCK;
    const lines = (this.#line + block.toString("latin1")).split("\n");
    this.#line = lines.pop() ?? "";
    for (const line of lines) {
      if (!this.wantsBlock) return;
      this.#numbers.push(parseDecimal(line, "a number of the sparse map", this.#at));
      checkCount(this.#numbers[0] ?? 0, this.#limits, this.#at);
    }
    if (this.wantsBlock && this.#line.length > LONGEST_NUMBER)
      throw badTar(this.#at, "the sparse map has no lines");
  }

  /**
   * @param size the file's logical size
   * @param stored bytes of the entry in the archive, map included
   */
  map(size: number, stored: number): { map: SparseMap; dataBytes: number } {
    const dataBytes = stored - this.#taken;
    if (dataBytes < 0) throw badTar(this.#at, "the sparse map is longer than its entry");
    return { map: checkedMap(this.#numbers.slice(1), size, dataBytes, this.#limits, this.#at), dataBytes };
  }
}
