import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { parseContentRange } from "./content-range.js";

describe("parseContentRange", () => {
  it("reads a range with and without a total", () => {
    assert.deepEqual(parseContentRange("bytes 5-9/10"), { start: 5, end: 9, total: 10 });
    assert.deepEqual(parseContentRange("Bytes 0-0/*"), { start: 0, end: 0, total: undefined });
  });
  for (const header of [
    undefined,
    "",
    "bytes */10",
    "bytes 9-5/10",
    "bytes 0-10/10",
    "bytes 5-/10",
    "bytes -5/10",
    "items 0-1/2",
    "bytes 0-1",
    "bytes 0-1/2, 3-4/5",
    "bytes 0x1-2/3",
    "bytes 9007199254740993-9007199254740994/*",
  ]) {
    it(`does not take ${JSON.stringify(header)}`, () => assert.equal(parseContentRange(header), undefined));
  }
  it("reads every range that fits, and nothing that does not", () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), fc.nat(), (start, end, total) => {
        const range = parseContentRange(`bytes ${start}-${end}/${total}`);
        assert.equal(range !== undefined, start <= end && end < total);
      }),
    );
  });
  it("never gives a range out of order, whatever the text", () => {
    const text = fc.string({ unit: fc.constantFrom(..."bytes 0123456789-/*"), maxLength: 40 });
    fc.assert(
      fc.property(text, (header) => {
        const range = parseContentRange(header);
        assert.ok(range === undefined || (range.start <= range.end && Number.isSafeInteger(range.end)));
      }),
    );
  });
});
