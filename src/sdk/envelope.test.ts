import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { hasReason } from "../base/errors.js";
import { EnvelopeReader, encodeEnvelope } from "./envelope.js";

describe("envelope", () => {
  it("gives back what was framed, however the bytes are chunked", () => {
    const messages = fc.array(fc.tuple(fc.constantFrom(0, 2), fc.uint8Array({ maxLength: 200 })), {
      maxLength: 8,
    });
    fc.assert(
      fc.property(messages, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (sent, cuts) => {
        const bytes = Buffer.concat(sent.map(([flags, payload]) => encodeEnvelope(flags, payload)));
        const reader = new EnvelopeReader(1000);
        const got: [number, number[]][] = [];
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const size = cuts[turn % cuts.length] ?? 1;
          for (const { flags, payload } of reader.push(bytes.subarray(at, at + size)))
            got.push([flags, [...payload]]);
          at += size;
        }
        assert.deepEqual(
          got,
          sent.map(([flags, payload]) => [flags, [...payload]]),
        );
        assert.equal(reader.pending, 0);
      }),
    );
  });

  it("refuses an announced length beyond the limit before any of it has come", () => {
    const reader = new EnvelopeReader(10);
    const header = Buffer.from([0, 0xff, 0xff, 0xff, 0xff]);
    assert.throws(
      () => reader.push(header),
      (error) => hasReason(error, "message-too-large"),
    );
  });

  it("keeps a cut frame until the rest has come", () => {
    const reader = new EnvelopeReader(100);
    const frame = encodeEnvelope(0, "hello");
    assert.deepEqual(reader.push(frame.subarray(0, 7)), []);
    assert.equal(reader.pending, 7);
    const [envelope] = reader.push(frame.subarray(7));
    assert.equal(envelope?.payload.toString(), "hello");
  });
});
