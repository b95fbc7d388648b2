// Which blocks are free. Files come one after the other, so new blocks come from a cursor that only moves forward
// (large sequential writes); blocks given back are pooled by size and used again first, so replaced files of upper
// layers do not make the image grow. Deterministic: the same calls give the same blocks.

import type { BlockRange } from "./metadata-layout.js";

/** Ranges are shorter than 2^32 blocks. */
const CLASSES = 32;

export class BlockAllocator {
  /** Untouched ranges, ascending; the first one is consumed from its start. */
  readonly #fresh: { start: number; count: number }[];
  #freshIndex = 0;
  /** Recycled ranges by start, and their starts by end: neighbours merge. */
  readonly #countAt = new Map<number, number>();
  readonly #startOfEnd = new Map<number, number>();
  /** Starts of recycled ranges of 2^n to 2^(n+1)-1 blocks, oldest first. */
  readonly #classes: readonly Set<number>[] = Array.from({ length: CLASSES }, () => new Set<number>());
  #free: number;

  /** @param ranges all free blocks, ascending and apart */
  constructor(ranges: readonly BlockRange[]) {
    this.#fresh = ranges.map((range) => ({ ...range }));
    this.#free = ranges.reduce((sum, range) => sum + range.count, 0);
  }

  get free(): number {
    return this.#free;
  }

  /**
   * Takes up to `want` blocks that lie together: all of them if any free range is long enough, else the longest range.
   *
   * @returns undefined when nothing is free
   */
  take(want: number): BlockRange | undefined {
    const taken = this.#takeRecycled(want) ?? this.#takeFresh(want) ?? this.#takeLongest();
    if (taken !== undefined) this.#free -= taken.count;
    return taken;
  }

  /** Gives blocks back; they may be taken again at once. */
  release(range: BlockRange): void {
    if (range.count === 0) return;
    this.#free += range.count;
    let { start, count } = range;
    const after = this.#countAt.get(start + count);
    if (after !== undefined) {
      this.#remove(start + count, after);
      count += after;
    }
    const before = this.#startOfEnd.get(start);
    if (before !== undefined) {
      this.#remove(before, start - before);
      count += start - before;
      start = before;
    }
    const fresh = this.#fresh[this.#freshIndex];
    // What was taken last goes back before the cursor, so that its place is written again in sequence.
    if (fresh !== undefined && fresh.start === start + count) {
      fresh.start = start;
      fresh.count += count;
    } else this.#insert(start, count);
  }

  /** Every free range, ascending. */
  freeRanges(): BlockRange[] {
    const ranges: BlockRange[] = this.#fresh
      .slice(this.#freshIndex)
      .filter((range) => range.count > 0)
      .map((range) => ({ ...range }));
    for (const [start, count] of this.#countAt) ranges.push({ start, count });
    return ranges.sort((a, b) => a.start - b.start);
  }

  #takeRecycled(want: number): BlockRange | undefined {
    if (this.#countAt.size === 0) return undefined;
    // Every range of a class above log2(want) fits; of its own class the oldest is tried.
    for (let n = Math.floor(Math.log2(want)); n < CLASSES; n++) {
      for (const start of this.#classes[n] ?? []) {
        const count = this.#countAt.get(start) ?? 0;
        if (count >= want) return this.#takeFrom(start, count, want);
        break;
      }
    }
    return undefined;
  }

  #takeFrom(start: number, count: number, want: number): BlockRange {
    this.#remove(start, count);
    if (count > want) this.#insert(start + want, count - want);
    return { start, count: want };
  }

  #takeFresh(want: number): BlockRange | undefined {
    const current = this.#fresh[this.#freshIndex];
    if (current === undefined) return undefined;
    if (current.count < want) {
      const fitting = this.#fresh.findIndex((r, i) => i > this.#freshIndex && r.count >= want);
      if (fitting < 0) return undefined;
      // Ranges stepped over stay usable for smaller files.
      for (; this.#freshIndex < fitting; this.#freshIndex++) {
        const skipped = this.#fresh[this.#freshIndex];
        if (skipped !== undefined && skipped.count > 0) this.#insert(skipped.start, skipped.count);
      }
      return this.#takeFresh(want);
    }
    const start = current.start;
    current.start += want;
    current.count -= want;
    return { start, count: want };
  }

  #takeLongest(): BlockRange | undefined {
    let longest: { start: number; count: number } | undefined;
    for (const range of this.#fresh.slice(this.#freshIndex)) {
      if (range.count > (longest?.count ?? 0)) longest = range;
    }
    const recycled = this.#longestRecycled();
    if (recycled !== undefined && recycled.count > (longest?.count ?? 0)) {
      this.#remove(recycled.start, recycled.count);
      return recycled;
    }
    if (longest === undefined) return undefined;
    const taken = { ...longest };
    longest.start += longest.count;
    longest.count = 0;
    return taken;
  }

  #longestRecycled(): BlockRange | undefined {
    for (let n = CLASSES - 1; n >= 0; n--) {
      for (const start of this.#classes[n] ?? []) return { start, count: this.#countAt.get(start) ?? 0 };
    }
    return undefined;
  }

  #insert(start: number, count: number): void {
    this.#countAt.set(start, count);
    this.#startOfEnd.set(start + count, start);
    this.#classes[Math.floor(Math.log2(count))]?.add(start);
  }

  #remove(start: number, count: number): void {
    this.#countAt.delete(start);
    this.#startOfEnd.delete(start + count);
    this.#classes[Math.floor(Math.log2(count))]?.delete(start);
  }
}
