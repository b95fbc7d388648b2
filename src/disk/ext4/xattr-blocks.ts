// The attribute blocks of an image: inodes with the same attributes share one, as the kernel's cache does.

import { createHash } from "node:crypto";
import { MAX_SHARERS, sealXattrBlock } from "./xattr-encoding.js";

interface SharedBlock {
  readonly block: number;
  sharers: number;
  /** Kept from the second sharer on, to be written again with the right count. */
  content?: Buffer;
}

export interface XattrBlockTarget {
  allocate(): number;
  write(block: number, content: Uint8Array): void;
}

export class XattrBlocks {
  readonly #seed: number;
  readonly #target: XattrBlockTarget;
  /** By SHA-256 of the content, so that a million different blocks don't stay in memory. */
  readonly #known = new Map<string, SharedBlock>();
  readonly #shared: SharedBlock[] = [];

  /** @param seed of the file system's checksums */
  constructor(seed: number, target: XattrBlockTarget) {
    this.#seed = seed;
    this.#target = target;
  }

  /** The number of a block with that content (from placeXattrs). */
  place(content: Buffer): number {
    const key = createHash("sha256").update(content).digest("base64");
    const known = this.#known.get(key);
    if (known !== undefined && known.sharers < MAX_SHARERS) {
      if (known.content === undefined) {
        known.content = content;
        this.#shared.push(known);
      }
      known.sharers++;
      return known.block;
    }
    const block = this.#target.allocate();
    sealXattrBlock(content, this.#seed, block, 1);
    this.#target.write(block, content);
    this.#known.set(key, { block, sharers: 1 });
    return block;
  }

  /** Writes the counts of sharers, which are known only at the end. */
  finish(): void {
    for (const { block, sharers, content } of this.#shared) {
      if (content === undefined) continue;
      sealXattrBlock(content, this.#seed, block, sharers);
      this.#target.write(block, content);
    }
  }
}
