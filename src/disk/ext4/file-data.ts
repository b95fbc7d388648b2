// The data of one regular file on its way to its final place in the image, and the extents that say where it went.

import { Code, KilnError } from "../../base/errors.js";
import type { DataRef, FileWriter } from "../../base/tree.js";
import type { BlockWriter } from "./block-writer.js";
import { BLOCK_SIZE, blocksFor } from "./format.js";
import type { BlockRange } from "./metadata-layout.js";

/** Consecutive logical blocks at consecutive physical ones; of any length, cut into extents when encoded. */
export interface Run {
  readonly logical: number;
  readonly physical: number;
  count: number;
}

/** Where a file's data lies. */
export class FileData implements DataRef {
  readonly size: number;
  readonly runs: readonly Run[];
  readonly blocks: number;

  constructor(size: number, runs: readonly Run[]) {
    this.size = size;
    this.runs = runs;
    this.blocks = runs.reduce((sum, run) => sum + run.count, 0);
  }
}

/** What a file writer needs of the sink it belongs to. */
export interface DataTarget {
  readonly writer: BlockWriter;
  /** At least one and at most `want` blocks that lie together; throws KilnError `disk-too-small`. */
  allocate(want: number): BlockRange;
  release(range: BlockRange): void;
  /** Called once, by close. */
  closed(data: FileData): void;
}

/** FileWriter over the image. All offsets in bytes unless they say block. */
export class ImageFileWriter implements FileWriter {
  readonly #size: number;
  readonly #target: DataTarget;
  readonly #runs: Run[] = [];
  #position = 0;
  /** Next byte to write in the image, and the end of the blocks reserved there. */
  #cursor = 0;
  #limit = 0;
  /** Block numbers where the segment in the making starts; -1 while in a hole. */
  #segmentLogical = -1;
  #segmentPhysical = -1;
  #open = true;

  constructor(size: number, target: DataTarget) {
    this.#size = size;
    this.#target = target;
  }

  write(chunk: Uint8Array): void {
    this.#advanceAllowed(chunk.length);
    for (let from = 0; from < chunk.length; ) {
      if (this.#segmentLogical < 0) this.#beginSegment();
      const part = Math.min(chunk.length - from, this.#limit - this.#cursor);
      this.#target.writer.write(
        this.#cursor,
        part === chunk.length ? chunk : chunk.subarray(from, from + part),
      );
      this.#cursor += part;
      this.#position += part;
      from += part;
      if (this.#cursor === this.#limit) this.#endSegment();
    }
  }

  hole(length: number): void {
    this.#advanceAllowed(length);
    const inBlock = this.#segmentLogical < 0 ? 0 : this.#cursor % BLOCK_SIZE;
    const zeros = inBlock === 0 ? 0 : Math.min(length, BLOCK_SIZE - inBlock);
    if (zeros > 0) {
      this.#target.writer.writeZeros(this.#cursor, zeros);
      this.#cursor += zeros;
    }
    if (zeros < length) this.#endSegment();
    this.#position += length;
    if (this.#cursor === this.#limit) this.#endSegment();
  }

  close(): FileData {
    if (this.#position !== this.#size) {
      throw new KilnError(
        Code.DataLoss,
        `write a file of ${this.#size} bytes: only ${this.#position} bytes came`,
        {
          reason: "file-truncated",
          hint: "the layer or directory it came from is damaged or was changed while it was read",
        },
      );
    }
    this.#endSegment();
    this.#giveBackReserve();
    this.#open = false;
    const data = new FileData(this.#size, this.#runs);
    this.#target.closed(data);
    return data;
  }

  #advanceAllowed(length: number): void {
    if (this.#open && length <= this.#size - this.#position) return;
    throw new KilnError(Code.Internal, `a file of ${this.#size} bytes was given more than that`, {
      reason: "file-overflow",
    });
  }

  #beginSegment(): void {
    const logical = Math.floor(this.#position / BLOCK_SIZE);
    if (this.#cursor === this.#limit) {
      const range = this.#target.allocate(blocksFor(this.#size) - logical);
      this.#cursor = range.start * BLOCK_SIZE;
      this.#limit = this.#cursor + range.count * BLOCK_SIZE;
    }
    this.#segmentLogical = logical;
    this.#segmentPhysical = this.#cursor / BLOCK_SIZE;
    // The end of a hole inside this block.
    const before = this.#position % BLOCK_SIZE;
    if (before > 0) this.#target.writer.writeZeros(this.#cursor, before);
    this.#cursor += before;
  }

  /** Fills the last block and notes where the segment lies. */
  #endSegment(): void {
    if (this.#segmentLogical < 0) return;
    const over = this.#cursor % BLOCK_SIZE;
    if (over > 0) {
      this.#target.writer.writeZeros(this.#cursor, BLOCK_SIZE - over);
      this.#cursor += BLOCK_SIZE - over;
    }
    const count = this.#cursor / BLOCK_SIZE - this.#segmentPhysical;
    appendRun(this.#runs, { logical: this.#segmentLogical, physical: this.#segmentPhysical, count });
    this.#segmentLogical = -1;
  }

  /** Holes need no blocks, so a sparse file leaves some of what was reserved for its full size. */
  #giveBackReserve(): void {
    const start = this.#cursor / BLOCK_SIZE;
    this.#target.release({ start, count: this.#limit / BLOCK_SIZE - start });
    this.#limit = this.#cursor;
  }
}

/** Adds a run, or lengthens the last one where it goes on. */
export function appendRun(runs: Run[], run: Run): void {
  const last = runs.at(-1);
  if (
    last !== undefined &&
    last.logical + last.count === run.logical &&
    last.physical + last.count === run.physical
  ) {
    last.count += run.count;
  } else runs.push(run);
}
