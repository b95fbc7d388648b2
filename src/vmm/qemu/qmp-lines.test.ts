import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { hasReason, KilnError } from "../../base/errors.js";
import { MAX_LINE_BYTES, QmpLines } from "./qmp-lines.js";

const line = (value: unknown) => Buffer.from(`${JSON.stringify(value)}\r\n`);

describe("QmpLines", () => {
  it("tells greeting, event, return and error apart", () => {
    const messages = new QmpLines().push(
      Buffer.concat([
        line({ QMP: { version: {}, capabilities: ["oob"] } }),
        line({ event: "SHUTDOWN", data: { guest: true }, timestamp: {} }),
        line({ return: {}, id: 1 }),
        line({ error: { class: "GenericError", desc: "no" }, id: 2 }),
      ]),
    );
    assert.deepEqual(messages, [
      { kind: "greeting" },
      { kind: "event", name: "SHUTDOWN", data: { guest: true } },
      { kind: "return", id: 1, value: {} },
      { kind: "error", id: 2, description: "no" },
    ]);
  });

  it("puts messages together whatever the chunks, characters of several bytes included", () => {
    const bytes = Buffer.concat([line({ event: "Ä→🔥", data: {} }), line({ return: "ß", id: 7 })]);
    fc.assert(
      fc.property(fc.array(fc.nat(bytes.length), { maxLength: 8 }), (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), bytes.length];
        const lines = new QmpLines();
        const messages = at.slice(1).flatMap((end, index) => lines.push(bytes.subarray(at[index], end)));
        assert.deepEqual(messages, [
          { kind: "event", name: "Ä→🔥", data: {} },
          { kind: "return", id: 7, value: "ß" },
        ]);
      }),
    );
  });

  const violations = [
    "no json",
    "[]",
    "1",
    "null",
    "{}",
    '{"error":{"desc":"x"}}',
    '{"return":{}}',
    '{"error":{},"id":1}',
  ];
  for (const text of violations) {
    it(`refuses ${text}`, () => {
      assert.throws(
        () => new QmpLines().push(Buffer.from(`${text}\n`)),
        (error) => hasReason(error, "qmp-violation"),
      );
    });
  }

  it("refuses a line without end before it fills the memory", () => {
    const lines = new QmpLines();
    const chunk = Buffer.alloc(64 * 1024, "x");
    assert.throws(
      () => {
        for (let sent = 0; sent <= MAX_LINE_BYTES; sent += chunk.length) lines.push(chunk);
      },
      (error) => hasReason(error, "qmp-violation"),
    );
  });

  it("throws nothing but a KilnError, whatever comes", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), (chunks) => {
        const lines = new QmpLines();
        try {
          for (const chunk of chunks) lines.push(chunk);
        } catch (error) {
          assert.ok(error instanceof KilnError);
        }
      }),
    );
  });
});
