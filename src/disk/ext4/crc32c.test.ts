import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { crc32c, crc32cOfNumber } from "./crc32c.js";

const START = 0xffff_ffff;

describe("crc32c", () => {
  it("gives the check value of CRC-32C once inverted", () => {
    assert.equal(~crc32c(START, Buffer.from("123456789")) >>> 0, 0xe306_9283);
  });

  it("gives the values of RFC 3720 for zeros and ones", () => {
    assert.equal(~crc32c(START, Buffer.alloc(32)) >>> 0, 0x8a91_36aa);
    assert.equal(~crc32c(START, Buffer.alloc(32, 0xff)) >>> 0, 0x62a8_ab43);
  });

  it("goes on from any point as if the bytes had come at once", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), (data, cut) => {
        const first = crc32c(START, data, 0, Math.min(cut, data.length));
        assert.equal(crc32c(first, data, Math.min(cut, data.length)), crc32c(START, data));
      }),
    );
  });

  it("takes a number as its four little-endian bytes", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: START }), (value) => {
        const bytes = Buffer.alloc(4);
        bytes.writeUInt32LE(value);
        assert.equal(crc32cOfNumber(START, value), crc32c(START, bytes));
      }),
    );
  });
});
