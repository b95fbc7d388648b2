import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { encodeRecord, type LogRecord, MAX_FRAME_DATA, parseFrame } from "./log-format.js";

const records = fc.record(
  {
    sequence: fc.bigInt(0n, 2n ** 60n),
    stream: fc.constantFrom("stdout" as const, "stderr" as const),
    timeNs: fc.bigInt(-(2n ** 62n), 2n ** 62n),
    data: fc.uint8Array({ minLength: 1, maxLength: 300 }),
  },
  { noNullPrototype: true },
);

function parseAll(bytes: Buffer): LogRecord[] {
  const found: LogRecord[] = [];
  for (let at = 0; ; ) {
    const parsed = parseFrame(bytes, at);
    if (parsed.kind !== "frame") return found;
    found.push(parsed.record);
    at = parsed.end;
  }
}

describe("frames", () => {
  it("give back what was written", () => {
    fc.assert(
      fc.property(fc.array(records), (all) => {
        const found = parseAll(Buffer.concat(all.flatMap(encodeRecord)));
        assert.deepEqual(
          found.map((record) => ({ ...record, data: Uint8Array.from(record.data) })),
          all,
        );
      }),
    );
  });

  it("split a long record and number the parts", () => {
    const record = {
      sequence: 7n,
      stream: "stdout" as const,
      timeNs: 1n,
      data: new Uint8Array(MAX_FRAME_DATA + 1),
    };
    const found = parseAll(Buffer.concat(encodeRecord(record)));
    assert.deepEqual(
      found.map(({ sequence, data }) => [sequence, data.length]),
      [
        [7n, MAX_FRAME_DATA],
        [7n + BigInt(MAX_FRAME_DATA), 1],
      ],
    );
  });

  it("are incomplete, never wrong, when cut anywhere", () => {
    fc.assert(
      fc.property(records, fc.nat(), (record, cut) => {
        const whole = Buffer.concat(encodeRecord(record));
        const part = whole.subarray(0, cut % whole.length);
        return parseFrame(part, 0).kind === "incomplete";
      }),
    );
  });

  it("are refused when any byte of header or data is flipped", () => {
    fc.assert(
      fc.property(records, fc.nat(), fc.integer({ min: 1, max: 255 }), (record, at, mask) => {
        const whole = Buffer.concat(encodeRecord(record));
        const index = at % whole.length;
        whole[index] = (whole[index] ?? 0) ^ mask;
        return parseFrame(whole, 0).kind !== "frame";
      }),
    );
  });
});
