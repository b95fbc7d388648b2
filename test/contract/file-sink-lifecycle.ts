// Contract of file sinks: the order of calls, misuse, and the same bytes for the same tree.

import assert from "node:assert/strict";
import { it } from "node:test";
import { hasReason } from "../../src/base/errors.js";
import type { Inode } from "../../src/base/tree.js";
import { type Build, MIB, type SinkBench } from "./file-sink-bench.js";
import { directory } from "./file-sink-tree.js";

export function lifecycleContract(bench: SinkBench): void {
  const tree =
    (reversed: boolean): Build =>
    async (make) => {
      const files: [string, Inode][] = [];
      for (let i = 0; i < 500; i++) files.push([`file ${i}`, await make.file([Buffer.alloc(i, i)])]);
      return directory(reversed ? files.toReversed() : files);
    };

  it("gives the same bytes for the same tree", async () => {
    assert.equal(await bench.digest(tree(false)), await bench.digest(tree(false)));
  });

  it("gives the same bytes whatever order the entries were added in", async () => {
    assert.equal(await bench.digest(tree(false)), await bench.digest(tree(true)));
  });

  it("leaves out data that the tree does not mention", async () => {
    await bench.roundTrip(async (make) => {
      await make.file([Buffer.alloc(100_000, 1)]);
      return directory({ kept: await make.file([Buffer.from("kept")]) });
    });
  });

  it("refuses data that was freed, or that two files claim", async () => {
    const freed: Build = async (make, sink) => {
      const file = await make.file([Buffer.from("x")]);
      if (file.type === "file") sink.free(file.data);
      return directory({ file });
    };
    const shared: Build = async (make) => {
      const file = await make.file([Buffer.from("x")]);
      return directory({ file, copy: { ...file } });
    };
    for (const build of [freed, shared]) {
      await assert.rejects(bench.write(bench.newPath(), build), (error) => hasReason(error, "unknown-data"));
    }
  });

  it("refuses a second file while one is open", async () => {
    const sink = await bench.tested.create(bench.newPath(), 16 * MIB);
    sink.createFile(1);
    assert.throws(
      () => sink.createFile(1),
      (error) => hasReason(error, "sink-misused"),
    );
    await sink.abort();
  });

  it("can be aborted at any time, and more than once", async () => {
    const sink = await bench.tested.create(bench.newPath(), 16 * MIB);
    const writer = sink.createFile(2 * MIB);
    await writer.write(Buffer.alloc(MIB / 2));
    await sink.abort();
    await sink.abort();
    // Its descriptor may be another file's by now: nothing may be written any more.
    await assert.rejects(async () => writer.write(Buffer.alloc(MIB)));
    assert.throws(
      () => sink.createFile(1),
      (error) => hasReason(error, "sink-misused"),
    );
  });

  it("refuses to write over an existing file", async () => {
    const path = bench.newPath();
    await bench.write(path, () => directory());
    await assert.rejects(bench.tested.create(path, 16 * MIB), (error) => hasReason(error, "file-exists"));
  });
}
