import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { encodeDevice, encodeTime } from "./inode.js";

const SECOND = 1_000_000_000n;
const FIRST = -(2n ** 31n) * SECOND;
const LAST = (2n ** 33n + 2n ** 31n) * SECOND - 1n;

describe("encodeTime", () => {
  it("keeps every nanosecond from 1901 to 2310", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: FIRST, max: LAST }), (ns) => {
        assert.equal(decodeTime(encodeTime(ns)), ns);
      }),
    );
  });

  it("keeps the ends of the range and the turns of the 32-bit clock", () => {
    for (const ns of [
      FIRST,
      -1n,
      0n,
      2n ** 31n * SECOND,
      2n ** 32n * SECOND - 1n,
      2n ** 32n * SECOND,
      LAST,
    ]) {
      assert.equal(decodeTime(encodeTime(ns)), ns);
    }
  });

  it("moves times beyond the range to its ends", () => {
    assert.equal(decodeTime(encodeTime(-(10n ** 30n))), FIRST);
    assert.equal(decodeTime(encodeTime(10n ** 30n)), (2n ** 33n + 2n ** 31n - 1n) * SECOND);
  });
});

describe("encodeDevice", () => {
  it("uses the short form where both numbers fit a byte", () => {
    assert.deepEqual(words(encodeDevice(1, 3)), [0x103, 0]);
  });

  it("uses the kernel's 12:20 form otherwise", () => {
    assert.deepEqual(words(encodeDevice(259, 0xabcde)), [0, 0xabc103de]);
    assert.deepEqual(words(encodeDevice(4095, 0xfffff)), [0, 0xffffffff]);
  });
});

/** As the kernel reads it: signed seconds, plus the epoch of the extra word. */
function decodeTime({ seconds, extra }: { seconds: number; extra: number }): bigint {
  return (BigInt(seconds | 0) + (BigInt(extra & 3) << 32n)) * SECOND + BigInt(extra >>> 2);
}

function words(block: Uint8Array): number[] {
  const view = new DataView(block.buffer, block.byteOffset);
  return [view.getUint32(0, true), view.getUint32(4, true)];
}
