// Contract of file sinks: the data of files, holes, and the space they take.

import assert from "node:assert/strict";
import { rm, stat } from "node:fs/promises";
import { it } from "node:test";
import { hasReason } from "../../src/base/errors.js";
import type { Inode } from "../../src/base/tree.js";
import { type Build, GIB, MIB, type SinkBench } from "./file-sink-bench.js";
import { directory, PLAIN } from "./file-sink-tree.js";

export function dataContract(bench: SinkBench): void {
  it("keeps data written in pieces of every size", async () => {
    await bench.roundTrip(async (make) => {
      const bytes = Buffer.from(Array.from({ length: 3 * MIB }, (_, i) => (i * 31) % 251));
      const piecesOf = (size: number) =>
        Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
          bytes.subarray(i * size, (i + 1) * size),
        );
      return directory({
        bytes: await make.file(piecesOf(511)),
        blocks: await make.file(piecesOf(4096)),
        large: await make.file(piecesOf(100_001)),
        whole: await make.file([bytes]),
        none: await make.file([]),
      });
    });
  });

  it("keeps holes at the start, in the middle and at the end, aligned or not", async () => {
    const text = Buffer.from("text");
    await bench.roundTrip(async (make) =>
      directory({
        start: await make.file([100_000, text]),
        middle: await make.file([text, 5, text, 8192, text, 4084, text]),
        end: await make.file([text, 1_000_003]),
        all: await make.file([70_000]),
      }),
    );
  });

  it("keeps a file of very many fragments", async () => {
    const block = Buffer.alloc(4096, 1);
    await bench.roundTrip(async (make) =>
      directory({
        fragments: await make.file(Array.from({ length: 3000 }, (_, i) => (i % 2 === 0 ? block : 4096))),
      }),
    );
  });

  it("takes no space for holes, even beyond the size of the disk", async () => {
    const path = bench.newPath();
    await bench.write(path, async (_, sink) => {
      const writer = sink.createFile(100 * GIB);
      writer.hole(100 * GIB - 1);
      await writer.write(Buffer.from("!"));
      return directory({ sparse: { type: "file", data: await writer.close(), links: 1, ...PLAIN } });
    });
    bench.tested.assertClean(path);
    assert.ok((await stat(path)).blocks * 512 < MIB);
  });

  it("keeps a file of more than 8 GiB that is mostly holes", async () => {
    const path = bench.newPath();
    const { result } = await bench.write(
      path,
      async (_, sink) => {
        const writer = sink.createFile(9 * GIB);
        for (let i = 0; i < 9; i++) {
          await writer.write(Buffer.alloc(MIB, i + 1));
          writer.hole(GIB - MIB);
        }
        return directory({ large: { type: "file", data: await writer.close(), links: 1, ...PLAIN } });
      },
      64 * GIB,
    );
    bench.tested.assertClean(path);
    assert.equal(result.dataBytes, 9 * MIB);
    await rm(path);
  });
}

export function spaceContract(bench: SinkBench): void {
  it("uses the space of freed files again", async () => {
    await bench.roundTrip(async (make, sink) => {
      for (let i = 0; i < 40; i++) {
        const file = await make.file([Buffer.alloc(2 * MIB, i + 1)]);
        if (file.type === "file") sink.free(file.data);
      }
      return directory({ last: await make.file([Buffer.alloc(2 * MIB, 99)]) });
    }, 16 * MIB);
  });

  it("takes back a file while the one that replaces it is being written", async () => {
    await bench.roundTrip(async (make, sink) => {
      const old = await make.file([Buffer.alloc(50_000, 1)]);
      const writer = sink.createFile(60_000);
      await writer.write(Buffer.alloc(30_000, 2));
      if (old.type === "file") sink.free(old.data);
      writer.hole(30_000);
      await writer.close();
      return directory({ last: await make.file([Buffer.alloc(50_000, 3)]) });
    });
  });

  it("fills the disk with fragments where there is no large piece left", async () => {
    await bench.roundTrip(async (make, sink) => {
      const kept: [string, Inode][] = [];
      for (let i = 0; i < 40; i++) {
        const file = await make.file([Buffer.alloc(200_000, i + 1)]);
        if (i % 2 === 0) kept.push([`kept${i}`, file]);
        else if (file.type === "file") sink.free(file.data);
      }
      kept.push(["fragmented", await make.file([Buffer.alloc(5_500_000, 200)])]);
      return directory(kept);
    }, 16 * MIB);
  });

  it("says that the disk is too small, and what size would be needed at least", async () => {
    const build: Build = async (make) => directory({ large: await make.file([Buffer.alloc(20 * MIB, 1)]) });
    await assert.rejects(bench.write(bench.newPath(), build, 16 * MIB), (error) => {
      const needed = Number((error as { details?: Record<string, string> }).details?.neededBytes);
      return hasReason(error, "disk-too-small") && needed > 20 * MIB && needed < 40 * MIB;
    });
  });
}
