// Walks the frames of a zstd stream without decoding them (RFC 8878, 3.1): fzstd allocates whatever window a frame
// asks for, up to 2 GiB, and is vague about a stream that ends too early. This is asked first.

import { Code, KilnError } from "../../base/errors.js";
import { corrupt, truncated } from "./byte-stream.js";

/** What the zstd program allows by default. */
const MAX_WINDOW_BYTES = 128 * 1024 * 1024;

const FRAME_MAGIC = 0xfd2f_b528;
const SKIPPABLE_MAGIC = 0x184d_2a50;
const BLOCK_RLE = 1;
const BLOCK_RESERVED = 3;

type State = "magic" | "skippable-size" | "descriptor" | "frame-header" | "block-header";

export class ZstdFrames {
  #state: State = "magic";
  /** Header bytes gathered so far, and how many are wanted. */
  #gathered: number[] = [];
  #wanted = 4;
  /** Bytes that need no look: block bodies, skippable frames, checksums. */
  #skip = 0;
  #descriptor = 0;

  /** @throws KilnError data_loss `compression-corrupt`; resource_exhausted `zstd-window-too-large` */
  check(bytes: Uint8Array): void {
    let position = 0;
    while (position < bytes.length) {
      if (this.#skip > 0) {
        const count = Math.min(this.#skip, bytes.length - position);
        this.#skip -= count;
        position += count;
      } else {
        this.#gathered.push(bytes[position] ?? 0);
        position++;
        if (this.#gathered.length === this.#wanted) this.#onGathered();
      }
    }
  }

  /** @throws KilnError data_loss `compression-truncated` in the middle of a frame */
  finish(): void {
    if (this.#state !== "magic" || this.#gathered.length > 0 || this.#skip > 0) throw truncated("zstd");
  }

  #onGathered(): void {
    const bytes = this.#gathered;
    this.#gathered = [];
    switch (this.#state) {
      case "magic":
        this.#onMagic(littleEndian(bytes));
        break;
      case "skippable-size":
        this.#skip = littleEndian(bytes);
        this.#want("magic", 4);
        break;
      case "descriptor":
        this.#descriptor = bytes[0] ?? 0;
        this.#onDescriptor(this.#descriptor);
        break;
      case "frame-header":
        checkWindow(windowOf(this.#descriptor, bytes));
        this.#want("block-header", 3);
        break;
      case "block-header":
        this.#onBlock(littleEndian(bytes));
    }
  }

  #want(state: State, bytes: number): void {
    this.#state = state;
    this.#wanted = bytes;
  }

  #onMagic(magic: number): void {
    if (magic === FRAME_MAGIC) this.#want("descriptor", 1);
    else if ((magic & 0xffff_fff0) === SKIPPABLE_MAGIC) this.#want("skippable-size", 4);
    else throw corrupt("zstd", "no frame begins where one must");
  }

  #onDescriptor(descriptor: number): void {
    // Never 0: without a window byte there is a content size.
    this.#want("frame-header", windowBytes(descriptor) + dictionaryBytes(descriptor) + sizeBytes(descriptor));
  }

  #onBlock(header: number): void {
    const type = (header >> 1) & 3;
    if (type === BLOCK_RESERVED) throw corrupt("zstd", "a block has the reserved type");
    this.#skip = type === BLOCK_RLE ? 1 : header >> 3;
    if ((header & 1) === 0) {
      this.#want("block-header", 3);
      return;
    }
    if ((this.#descriptor & 4) !== 0) this.#skip += 4;
    this.#want("magic", 4);
  }
}

function littleEndian(bytes: readonly number[]): number {
  return bytes.reduceRight((value, byte) => value * 256 + byte, 0);
}

function isSingleSegment(descriptor: number): boolean {
  return (descriptor & 0x20) !== 0;
}

function windowBytes(descriptor: number): number {
  return isSingleSegment(descriptor) ? 0 : 1;
}

function dictionaryBytes(descriptor: number): number {
  return [0, 1, 2, 4][descriptor & 3] ?? 0;
}

function sizeBytes(descriptor: number): number {
  return [isSingleSegment(descriptor) ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
}

/** A single segment's window is its whole content. */
function windowOf(descriptor: number, header: readonly number[]): number {
  if (!isSingleSegment(descriptor)) {
    const byte = header[0] ?? 0;
    const base = 2 ** (10 + (byte >> 3));
    return base + (base / 8) * (byte & 7);
  }
  const size = littleEndian(header.slice(dictionaryBytes(descriptor)));
  return sizeBytes(descriptor) === 2 ? size + 256 : size;
}

function checkWindow(bytes: number): void {
  if (bytes <= MAX_WINDOW_BYTES) return;
  throw windowTooLarge(`a frame wants a window of ${bytes} bytes, more than ${MAX_WINDOW_BYTES}`);
}

/** Decoding would take more memory than a layer may ask for. */
export function windowTooLarge(why: string): KilnError {
  return new KilnError(Code.ResourceExhausted, `decompress zstd data: ${why}`, {
    reason: "zstd-window-too-large",
    hint: "compress again without --ultra and --long",
  });
}
