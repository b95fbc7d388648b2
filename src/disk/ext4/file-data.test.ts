import assert from "node:assert/strict";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import fc from "fast-check";
import { hasReason } from "../../base/errors.js";
import { BlockAllocator } from "./allocator.js";
import { BlockWriter } from "./block-writer.js";
import { type FileData, ImageFileWriter } from "./file-data.js";
import { BLOCK_SIZE } from "./format.js";

/** A number writes so many bytes, a negative one leaves a hole. */
type Steps = readonly number[];

const scratch = mkdtempSync(join(tmpdir(), "kiln-file-data-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

describe("ImageFileWriter", () => {
  it("brings back what was written, holes as zeros, for any sequence of writes", () => {
    const length = fc.oneof(
      fc.integer({ min: -20_000, max: 20_000 }),
      fc.constantFrom(0, 1, BLOCK_SIZE, -BLOCK_SIZE, 200_000),
    );
    fc.assert(
      fc.property(fc.array(length, { maxLength: 12 }), (steps) => {
        const { image, data, expected } = run(steps);
        assert.ok(contentOf(image, data).equals(expected));
      }),
      { numRuns: 150 },
    );
  });

  it("takes no blocks for holes", () => {
    const { data } = run([5, -10 * BLOCK_SIZE, 5]);
    assert.equal(data.blocks, 2);
    assert.equal(run([-1_000_000]).data.blocks, 0);
  });

  it("gives back the blocks reserved for what turned out to be holes", () => {
    const { free, data } = run([1, -50 * BLOCK_SIZE]);
    assert.equal(data.blocks, 1);
    assert.equal(free, RANGES.reduce((sum, { count }) => sum + count, 0) - 1);
  });

  it("spreads a file over several free ranges", () => {
    const { image, data, expected } = run([150 * BLOCK_SIZE]);
    assert.ok(data.runs.length > 1);
    assert.ok(contentOf(image, data).equals(expected));
  });

  it("refuses to close before all bytes came", () => {
    const writer = writerFor(10).writer;
    writer.write(Buffer.alloc(9));
    assert.throws(
      () => writer.close(),
      (error) => hasReason(error, "file-truncated"),
    );
  });

  it("refuses more bytes than announced", () => {
    const writer = writerFor(10).writer;
    assert.throws(
      () => writer.write(Buffer.alloc(11)),
      (error) => hasReason(error, "file-overflow"),
    );
    assert.throws(
      () => writer.hole(11),
      (error) => hasReason(error, "file-overflow"),
    );
  });
});

describe("BlockWriter", () => {
  it("ends up with what was written last at each place", () => {
    const write = fc.record({
      at: fc.nat(300_000),
      length: fc.oneof(fc.nat(5000), fc.constant(100_000)),
      byte: fc.nat(255),
      zeros: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(write, { maxLength: 20 }), (writes) => {
        const model = Buffer.alloc(400_000);
        const path = join(scratch, "writes");
        const fd = openSync(path, "w+");
        try {
          const writer = new BlockWriter({ fd }, path);
          for (const { at, length, byte, zeros } of writes) {
            model.fill(zeros ? 0 : byte, at, at + length);
            if (zeros) writer.writeZeros(at, length);
            else writer.write(at, Buffer.alloc(length, byte));
          }
          writer.flush();
        } finally {
          closeSync(fd);
        }
        const written = readFileSync(path);
        assert.ok(written.equals(model.subarray(0, written.length)));
        assert.ok(model.subarray(written.length).every((byte) => byte === 0));
      }),
      { numRuns: 60 },
    );
  });

  it("says that the host's disk is full", () => {
    const fd = openSync("/dev/full", "w");
    try {
      const writer = new BlockWriter({ fd }, "some.img");
      writer.write(0, Buffer.alloc(10));
      assert.throws(
        () => writer.flush(),
        (error) => hasReason(error, "host-disk-full") && /some\.img/.test((error as Error).message),
      );
    } finally {
      closeSync(fd);
    }
  });
});

/** Room for the longest sequence that is generated (12 × 200,000 bytes), in ranges of at most 100 blocks. */
const RANGES = [
  { start: 3, count: 60 },
  { start: 70, count: 40 },
  ...[200, 400, 600, 800, 1000, 1200].map((start) => ({ start, count: 100 })),
];

function writerFor(size: number) {
  const path = join(scratch, "image");
  const fd = openSync(path, "w+");
  const allocator = new BlockAllocator(RANGES);
  const writer = new BlockWriter({ fd }, path);
  const target = {
    writer,
    allocate: (want: number) => allocator.take(want) ?? assert.fail("the test's disk is full"),
    release: (range: { start: number; count: number }) => allocator.release(range),
    closed: () => writer.flush(),
  };
  closeAtEnd.push(fd);
  return { writer: new ImageFileWriter(size, target), allocator, path };
}

const closeAtEnd: number[] = [];
after(() => {
  for (const fd of closeAtEnd) closeSync(fd);
});

function run(steps: Steps) {
  const expected = Buffer.concat(
    steps.map((step, index) => (step < 0 ? Buffer.alloc(-step) : Buffer.alloc(step, index + 1))),
  );
  const { writer, allocator, path } = writerFor(expected.length);
  steps.forEach((step, index) => {
    if (step < 0) writer.hole(-step);
    else writer.write(Buffer.alloc(step, index + 1));
  });
  const data = writer.close();
  return { image: readFileSync(path), data, expected, free: allocator.free };
}

/** Reads a file back through its runs; in the last block nothing but zeros may follow. */
function contentOf(image: Buffer, data: FileData): Buffer {
  const content = Buffer.alloc(Math.ceil(data.size / BLOCK_SIZE) * BLOCK_SIZE);
  for (const { logical, physical, count } of data.runs) {
    image.copy(content, logical * BLOCK_SIZE, physical * BLOCK_SIZE, (physical + count) * BLOCK_SIZE);
  }
  assert.ok(content.subarray(data.size).every((byte) => byte === 0));
  return content.subarray(0, data.size);
}
