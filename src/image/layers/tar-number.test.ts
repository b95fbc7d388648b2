import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseDecimal, parseNumber, parsePaxTime } from "./tar-number.js";

const number = (field: string, length = 12) =>
  parseNumber(Buffer.from(field.padEnd(length, "\0"), "latin1"), 0, length, "size", 0);
const base256 = (...bytes: number[]) => parseNumber(Uint8Array.from(bytes), 0, bytes.length, "size", 0);

describe("numbers in tar headers", () => {
  it("are octal with any padding", () => {
    for (const field of ["644", "0000644", "   644 ", "644 \0", "\0 644", "644\0rubbish"]) {
      assert.equal(number(field), 0o644, JSON.stringify(field));
    }
  });

  it("are 0 when blank", () => {
    for (const field of ["", "    ", "\0 \0"]) assert.equal(number(field), 0, JSON.stringify(field));
  });

  it("may fill their whole field", () => {
    assert.equal(number("777777777777"), 0o777777777777);
  });

  it("are refused when they are no octal numbers", () => {
    for (const field of ["9", "12a", "-1", "1 2", "0x10"]) {
      assert.throws(() => number(field), { reason: "bad-tar" }, JSON.stringify(field));
    }
  });

  it("may be in base-256, negative ones too", () => {
    assert.equal(base256(0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1), 2 ** 33 + 1);
    assert.equal(base256(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe), -2);
    assert.equal(base256(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00), -256);
  });

  it("are refused where they pass what a double holds exactly", () => {
    assert.throws(() => base256(0x80, 0x20, 0, 0, 0, 0, 0, 0), { reason: "bad-tar" });
    assert.throws(() => base256(0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), {
      reason: "bad-tar",
    });
  });
});

describe("decimals of PAX records", () => {
  it("are plain digits within range", () => {
    assert.equal(parseDecimal("9007199254740991", "size", 0), Number.MAX_SAFE_INTEGER);
    for (const text of ["", "-1", "1.0", "1e3", " 1", "9007199254740992", "0x1"]) {
      assert.throws(() => parseDecimal(text, "size", 0), { reason: "bad-tar" }, JSON.stringify(text));
    }
  });
});

describe("PAX times", () => {
  it("have nanoseconds and signs", () => {
    assert.equal(parsePaxTime("1350244992.023960108", "mtime", 0), 1350244992023960108n);
    assert.equal(parsePaxTime("-1.5", "mtime", 0), -1_500_000_000n);
    assert.equal(parsePaxTime("7", "mtime", 0), 7_000_000_000n);
    assert.equal(parsePaxTime("7.", "mtime", 0), 7_000_000_000n);
  });

  it("lose what is finer than a nanosecond", () => {
    assert.equal(parsePaxTime("0.1234567899", "mtime", 0), 123456789n);
  });

  it("are refused otherwise", () => {
    for (const text of ["", ".5", "1,5", "1.-5", "--1", "1e9", "9999999999999999"]) {
      assert.throws(() => parsePaxTime(text, "mtime", 0), { reason: "bad-tar" }, JSON.stringify(text));
    }
  });
});
