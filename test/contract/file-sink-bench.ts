// Builds images through a file sink and reads them back, for the contract of file sinks.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { DirectoryInode, FileSink, SinkResult } from "../../src/base/tree.js";
import { assertSameTree, type FoundTree, TreeMaker } from "./file-sink-tree.js";

export interface SinkUnderTest {
  readonly name: string;
  /** Why it can't be tested here, or false. */
  readonly skip: string | false;
  create(path: string, sizeBytes: number): Promise<FileSink>;
  /** Fails unless the image is whole. */
  assertClean(path: string): void;
  read(path: string): FoundTree;
}

export const MIB = 2 ** 20;
export const GIB = 2 ** 30;

/** Makes the tree of one image. */
export type Build = (make: TreeMaker, sink: FileSink) => DirectoryInode | Promise<DirectoryInode>;

/** Builds images in a directory of its own. */
export class SinkBench {
  readonly tested: SinkUnderTest;
  #directory = "";
  #count = 0;

  constructor(tested: SinkUnderTest) {
    this.tested = tested;
  }

  async open(): Promise<void> {
    this.#directory = await mkdtemp(join(tmpdir(), "kiln-sink-"));
  }

  close(): Promise<void> {
    return rm(this.#directory, { recursive: true, force: true });
  }

  newPath(): string {
    return join(this.#directory, `${this.#count++}.img`);
  }

  async write(path: string, build: Build, sizeBytes = GIB): Promise<WrittenTree> {
    const sink = await this.tested.create(path, sizeBytes);
    const maker = new TreeMaker(sink);
    try {
      const root = await build(maker, sink);
      return { root, maker, result: await sink.finish(root) };
    } finally {
      await sink.abort();
    }
  }

  /** Writes, checks and compares; then the image is removed. */
  async roundTrip(build: Build, sizeBytes = GIB): Promise<FoundTree> {
    const path = this.newPath();
    try {
      const { root, maker } = await this.write(path, build, sizeBytes);
      this.tested.assertClean(path);
      const found = this.tested.read(path);
      assertSameTree(found, root, maker);
      return found;
    } finally {
      await rm(path, { force: true });
    }
  }

  async digest(build: Build): Promise<string> {
    const path = this.newPath();
    try {
      await this.write(path, build, 64 * MIB);
      const hash = createHash("sha256");
      await pipeline(createReadStream(path, { highWaterMark: MIB }), hash);
      return hash.digest("hex");
    } finally {
      await rm(path, { force: true });
    }
  }
}

export interface WrittenTree {
  root: DirectoryInode;
  maker: TreeMaker;
  result: SinkResult;
}
