// The tar reader: bytes in, events out, synchronous and without copies of file data. Strict: what it can't read
// without guessing is an error that says where. Memory is bounded by the limits, whatever the archive says.

import { defined } from "../../base/defined.js";
import { DEFAULT_LAYER_LIMITS, type LayerLimits, limitExceeded } from "./limits.js";
import { buildEntry, type Extensions, entryType, joinXattrs, memberPath } from "./tar-build.js";
import type { TarEntry, TarEvent } from "./tar-entry.js";
import { badTar, corruptTar } from "./tar-errors.js";
import { BLOCK, isZeroBlock, parseHeader, type TarHeader, textField } from "./tar-header.js";
import { type PaxOverrides, parsePax } from "./tar-pax.js";
import { checkedMap, OldGnuMap, Pax1Map, type SparseMap } from "./tar-sparse.js";

type State = "header" | "extension" | "old-sparse" | "pax-sparse" | "data" | "padding" | "end-mark" | "done";

const EMPTY = Buffer.alloc(0);
const NONE: PaxOverrides = {};
const END: TarEvent = { type: "end" };

/**
 * Push a chunk, take events until there is none, push the next; `finish` after the last. Every entry is followed
 * by its data and holes in order, and by "end".
 */
export class TarParser {
  readonly #limits: LayerLimits;
  #state: State = "header";
  #chunk: Buffer = EMPTY;
  #position = 0;
  /** Archive bytes before #chunk. */
  #base = 0;
  /** A block or extension that spans chunks. */
  #carry: Buffer | undefined;
  #carried = 0;

  #global: PaxOverrides = NONE;
  #pax: PaxOverrides = NONE;
  #longPath: string | undefined;
  #longLink: string | undefined;

  #header: TarHeader | undefined;
  /** Where #header lies. */
  #at = 0;
  #oldMap: OldGnuMap | undefined;
  #paxMap: Pax1Map | undefined;

  /** The entry's data: extents still to come, and where in the file and in the extent we are. */
  #map: SparseMap = { size: 0, extents: [] };
  #extent = 0;
  #logical = 0;
  #padding = 0;

  constructor(limits: LayerLimits = DEFAULT_LAYER_LIMITS) {
    this.#limits = limits;
  }

  /** Gives the next bytes; only after next() gave undefined. They must stay as they are until it does so again. */
  push(chunk: Uint8Array): void {
    // All of the chunk before was taken; its buffer may have been given back, and has no length any more.
    this.#base += this.#position;
    this.#chunk = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    this.#position = 0;
  }

  /**
   * The next event, or undefined where more bytes are needed.
   *
   * @throws KilnError invalid_argument, data_loss or resource_exhausted; the parser is of no use after it
   */
  next(): TarEvent | undefined {
    for (;;) {
      switch (this.#state) {
        case "data":
          return this.#nextData();
        case "padding":
          if (!this.#skipPadding()) return undefined;
          break;
        case "done":
          this.#position = this.#chunk.length;
          return undefined;
        default: {
          const piece = this.#take(this.#wanted());
          if (piece === undefined) return undefined;
          const entry = this.#onPiece(piece);
          if (entry !== undefined) return { type: "entry", entry };
        }
      }
    }
  }

  /**
   * Tells that the archive has ended. The two zero blocks at its end may be missing, as Go's writer of old left
   * them out.
   *
   * @throws KilnError data_loss `tar-truncated` in the middle of an entry
   */
  finish(): void {
    const between = this.#state === "header" || this.#state === "end-mark" || this.#state === "done";
    const pending = this.#carried > 0 || this.#hasExtensions();
    if (between && !pending) return;
    throw corruptTar(this.#offset(), "the archive ends in the middle of an entry", "tar-truncated");
  }

  #offset(): number {
    return this.#base + this.#position;
  }

  /** Bytes of the piece that the state needs in one part. */
  #wanted(): number {
    if (this.#state !== "extension") return BLOCK;
    const size = this.#header?.size ?? 0;
    return size + paddingOf(size);
  }

  /** Exactly `length` bytes in one part, or undefined until they are there. */
  #take(length: number): Buffer | undefined {
    const available = this.#chunk.length - this.#position;
    if (this.#carry === undefined) {
      if (available >= length) {
        this.#position += length;
        return this.#chunk.subarray(this.#position - length, this.#position);
      }
      if (available === 0) return undefined;
      this.#carry = Buffer.allocUnsafe(length);
      this.#carried = 0;
    }
    const count = Math.min(length - this.#carried, available);
    this.#chunk.copy(this.#carry, this.#carried, this.#position, this.#position + count);
    this.#position += count;
    this.#carried += count;
    if (this.#carried < length) return undefined;
    const whole = this.#carry;
    this.#carry = undefined;
    this.#carried = 0;
    return whole;
  }

  #onPiece(piece: Buffer): TarEntry | undefined {
    switch (this.#state) {
      case "extension":
        this.#onExtension(piece);
        return undefined;
      case "old-sparse":
        this.#oldMap?.addBlock(piece);
        return this.#continueSparse();
      case "pax-sparse":
        this.#paxMap?.addBlock(piece);
        return this.#continueSparse();
      case "end-mark":
        if (!isZeroBlock(piece))
          throw corruptTar(this.#offset() - BLOCK, "data after the archive's end mark");
        this.#state = "done";
        return undefined;
      default:
        return this.#onHeader(piece);
    }
  }

  #onHeader(block: Buffer): TarEntry | undefined {
    this.#at = this.#offset() - BLOCK;
    if (isZeroBlock(block)) {
      if (this.#hasExtensions()) throw corruptTar(this.#at, "an extended header stands before no entry");
      this.#state = "end-mark";
      return undefined;
    }
    this.#header = parseHeader(block, this.#at);
    switch (this.#header.flag) {
      case "x":
      case "g":
      case "L":
      case "K":
        this.#checkExtension(this.#header.size);
        this.#state = "extension";
        return undefined;
      case "V":
        // A GNU volume's label names no file.
        this.#startData({ size: 0, extents: [] }, 0);
        this.#state = "header";
        return undefined;
      default:
        return this.#onMember(this.#header, block);
    }
  }

  #checkExtension(size: number): void {
    if (size <= this.#limits.maxExtensionBytes) return;
    const message = `tar entry at byte ${this.#at}: an extended header has ${size} bytes, more than ${this.#limits.maxExtensionBytes}`;
    throw limitExceeded("tar-header-too-large", message, "maxExtensionBytes");
  }

  #onExtension(padded: Buffer): void {
    const body = padded.subarray(0, this.#header?.size ?? 0);
    this.#state = "header";
    switch (this.#header?.flag) {
      case "x":
        this.#pax = parsePax(body, false, this.#at);
        break;
      case "g":
        this.#setGlobal(parsePax(body, true, this.#at));
        break;
      case "L":
        this.#longPath = textField(body, 0, body.length);
        break;
      default:
        this.#longLink = textField(body, 0, body.length);
    }
  }

  #setGlobal(overrides: PaxOverrides): void {
    const xattrs = joinXattrs(this.#global.xattrs, overrides.xattrs, this.#limits, this.#at);
    this.#global = { ...this.#global, ...overrides, ...defined({ xattrs }) };
  }

  #hasExtensions(): boolean {
    return this.#pax !== NONE || this.#longPath !== undefined || this.#longLink !== undefined;
  }

  /** A header of a real member: perhaps a sparse map must be read before the entry is known. */
  #onMember(header: TarHeader, block: Buffer): TarEntry | undefined {
    const isFile = entryType(header.flag, memberPath(header, this.#extensions())) === "file";
    if (header.flag === "S") {
      this.#oldMap = new OldGnuMap(block, this.#limits, this.#at);
      this.#state = "old-sparse";
      return this.#continueSparse();
    }
    const sparse = isFile ? this.#pax.sparse : undefined;
    if (sparse?.major === "1" && sparse.minor === "0") {
      this.#paxMap = new Pax1Map(this.#limits, this.#at);
      this.#state = "pax-sparse";
      return this.#continueSparse();
    }
    // Links, directories and devices have no data whatever their size says (as Go's reader and libarchive have it).
    const stored = isFile ? this.#storedSize(header) : 0;
    const map = sparse === undefined ? wholeFile(stored) : this.#pax0Map(stored);
    return this.#startEntry(header, map, stored);
  }

  #storedSize(header: TarHeader): number {
    return this.#pax.size ?? header.size;
  }

  #pax0Map(stored: number): SparseMap {
    const sparse = this.#pax.sparse ?? { map: [] };
    const known =
      sparse.major === undefined || (sparse.major === "0" && (sparse.minor === "0" || sparse.minor === "1"));
    if (!known) throw badTar(this.#at, "unknown version of the GNU sparse format");
    // A lone GNU.sparse.name or size without a map is how no writer writes: it would show a file of zeros.
    const size = sparse.size ?? sparse.realSize;
    if (size === undefined) throw badTar(this.#at, "a sparse file has no size");
    if (sparse.blocks !== undefined && sparse.blocks * 2 !== sparse.map.length) {
      throw badTar(this.#at, "a sparse map's length isn't what its header says");
    }
    return checkedMap(sparse.map, size, stored, this.#limits, this.#at);
  }

  /** Starts the entry once its map is complete. */
  #continueSparse(): TarEntry | undefined {
    const header = this.#header;
    if (header === undefined) return undefined;
    const stored = this.#storedSize(header);
    if (this.#oldMap !== undefined) {
      if (this.#oldMap.wantsBlock) return undefined;
      return this.#startEntry(header, this.#oldMap.map(stored), stored);
    }
    if (this.#paxMap === undefined || this.#paxMap.wantsBlock) return undefined;
    const size = this.#pax.sparse?.realSize;
    if (size === undefined) throw badTar(this.#at, "a sparse file has no size");
    const { map, dataBytes } = this.#paxMap.map(size, stored);
    return this.#startEntry(header, map, dataBytes);
  }

  #startEntry(header: TarHeader, map: SparseMap, stored: number): TarEntry {
    const entry = buildEntry(header, this.#extensions(), map.size, this.#limits, this.#at);
    this.#startData(map, stored);
    return entry;
  }

  #extensions(): Extensions {
    return { global: this.#global, pax: this.#pax, longPath: this.#longPath, longLink: this.#longLink };
  }

  #startData(map: SparseMap, stored: number): void {
    this.#pax = NONE;
    this.#longPath = undefined;
    this.#longLink = undefined;
    this.#oldMap = undefined;
    this.#paxMap = undefined;
    this.#map = map;
    this.#extent = 0;
    this.#logical = 0;
    this.#padding = paddingOf(stored);
    this.#state = "data";
  }

  #nextData(): TarEvent | undefined {
    const extent = this.#map.extents[this.#extent];
    const next = extent?.offset ?? this.#map.size;
    if (this.#logical < next) {
      const length = next - this.#logical;
      this.#logical = next;
      return { type: "hole", length };
    }
    if (extent === undefined) {
      this.#state = "padding";
      return END;
    }
    const available = this.#chunk.length - this.#position;
    if (available === 0) return undefined;
    const end = extent.offset + extent.length;
    const count = Math.min(end - this.#logical, available);
    const bytes = this.#chunk.subarray(this.#position, this.#position + count);
    this.#position += count;
    this.#logical += count;
    if (this.#logical === end) this.#extent++;
    return { type: "data", bytes };
  }

  /** False where more bytes are needed. */
  #skipPadding(): boolean {
    const count = Math.min(this.#padding, this.#chunk.length - this.#position);
    this.#position += count;
    this.#padding -= count;
    if (this.#padding > 0) return false;
    this.#state = "header";
    return true;
  }
}

function paddingOf(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

function wholeFile(size: number): SparseMap {
  return { size, extents: size === 0 ? [] : [{ offset: 0, length: size }] };
}
