import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { packLz4Block, packLz4Legacy } from "../../test/fixtures/made-up-kernels.js";
import { hasReason } from "../base/errors.js";
import { decodeBlock, decodeLz4Legacy } from "./lz4-legacy.js";

const invalid = (error: unknown) => hasReason(error, "invalid-kernel");

/** Bytes that repeat now and then, so that packing finds matches of all kinds. */
const repetitive = fc
  .array(fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.integer({ min: 1, max: 60 })), {
    maxLength: 20,
  })
  .map((runs) => Buffer.concat(runs.flatMap(([piece, times]) => Array<Uint8Array>(times).fill(piece))));

describe("LZ4 legacy frames", () => {
  it("unpack to what was packed", async () => {
    await fc.assert(
      fc.asyncProperty(repetitive, fc.integer({ min: 1, max: 300 }), async (data, blockSize) => {
        const packed = packLz4Legacy(data, blockSize);
        assert.deepEqual(Buffer.from(await decodeLz4Legacy(packed, data.length)), data);
      }),
    );
  });

  it("unpack a block that spec's overlapping match repeats", () => {
    // Literal "ab", then a match of 6 at offset 2, then the literal "c".
    const block = Buffer.from([0x22, 0x61, 0x62, 2, 0, 0x10, 0x63]);
    const target = new Uint8Array(16);
    const end = decodeBlock(block, 0, block.length, target, 0, 16);
    assert.equal(Buffer.from(target.subarray(0, end)).toString(), "ababababc");
  });

  it("never write outside the given part of the output, whatever the input", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(50), fc.nat(80), (input, before, room) => {
        const target = new Uint8Array(before + room + 50).fill(0xee);
        try {
          const end = decodeBlock(input, 0, input.length, target, before, before + room);
          assert.ok(end >= before && end <= before + room);
        } catch (error) {
          assert.ok(invalid(error), String(error));
        }
        assert.ok(target.subarray(0, before).every((byte) => byte === 0xee));
        assert.ok(target.subarray(before + room).every((byte) => byte === 0xee));
      }),
    );
  });

  it("are refused or unpacked right when bytes of a good one are changed", async () => {
    const good = packLz4Legacy(Buffer.from("kiln fires images ".repeat(200)), 1000);
    await fc.assert(
      fc.asyncProperty(fc.nat(good.length - 1), fc.integer({ min: 0, max: 255 }), async (at, value) => {
        const bad = Buffer.from(good);
        bad[at] = value;
        try {
          assert.equal((await decodeLz4Legacy(bad, 3600)).length, 3600);
        } catch (error) {
          assert.ok(invalid(error), String(error));
        }
      }),
    );
  });

  it("are refused at every length they can be cut to", async () => {
    const good = packLz4Legacy(Buffer.from("abcabcabcabcabcabcabcabc, and then something else"), 20);
    for (let length = 0; length < good.length; length++) {
      await assert.rejects(decodeLz4Legacy(good.subarray(0, length), 49), invalid, `cut to ${length}`);
    }
  });

  it("are refused when they unpack to more than announced", async () => {
    const packed = packLz4Legacy(Buffer.alloc(100_000));
    await assert.rejects(decodeLz4Legacy(packed, 99_999), invalid);
  });

  it("refuse a match that points before its own block", () => {
    const first = packLz4Block(Buffer.from("0123456789abcdef"));
    const target = new Uint8Array(64);
    const end = decodeBlock(first, 0, first.length, target, 0, 64);
    const second = Buffer.from([0x10, 0x78, 8, 0, 0x10, 0x79]);
    assert.throws(() => decodeBlock(second, 0, second.length, target, end, 64), invalid);
  });
});
