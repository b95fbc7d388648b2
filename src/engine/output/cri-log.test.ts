import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { formatCriLines, MOST_OF_A_LINE } from "./cri-log.js";

const TIME = 1_767_323_045_000_000_006n;
const STAMP = "2026-01-02T03:04:05.000000006Z";
const NOTHING = new Uint8Array();

const format = (data: string, ended = false) =>
  formatCriLines("stdout", NOTHING, Buffer.from(data), { timeNs: TIME, ended });

/** What a kubelet shows of a log file: a piece without, a line with its end. */
function shown(text: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf("\n", at);
    const line = text.subarray(at, end);
    const match = /^\S+Z (stdout|stderr) ([FP]) /.exec(line.subarray(0, 64).toString("latin1"));
    assert.ok(match, line.toString());
    const log = line.subarray(match[0].length);
    assert.ok(log.length <= MOST_OF_A_LINE);
    parts.push(log, Buffer.from(match[2] === "F" ? "\n" : ""));
    at = end + 1;
  }
  return Buffer.concat(parts);
}

describe("formatCriLines", () => {
  it("writes whole lines with time, stream and tag", () => {
    const { text, rest } = format("one\n\ntwo\n");
    assert.equal(text.toString(), `${STAMP} stdout F one\n${STAMP} stdout F \n${STAMP} stdout F two\n`);
    assert.equal(rest.length, 0);
  });

  it("holds a line that has no end, until there is one or nothing follows", () => {
    const { text, rest } = format("one\ntw");
    assert.equal(text.toString(), `${STAMP} stdout F one\n`);
    assert.equal(rest.toString(), "tw");
    const when = { timeNs: TIME, ended: false };
    assert.equal(
      formatCriLines("stderr", rest, Buffer.from("o\n"), when).text.toString(),
      `${STAMP} stderr F two\n`,
    );
    assert.equal(format("prompt> ", true).text.toString(), `${STAMP} stdout P prompt> \n`);
    assert.equal(format("", true).text.length, 0);
  });

  it("writes long lines in pieces, with their end or without", () => {
    const long = "x".repeat(MOST_OF_A_LINE);
    const tags = (text: Buffer) => [...text.toString().matchAll(/Z stdout ([FP]) /g)].map(([, tag]) => tag);
    assert.deepEqual(tags(format(`${long}\n`).text), ["F"]);
    assert.deepEqual(tags(format(`${long}y\n`).text), ["P", "F"]);
    assert.deepEqual(tags(format(`${long}${long}yy`).text), ["P", "P"]);
    assert.equal(format(`${long}${long}yy`).rest.toString(), "yy");
  });

  it("knows every time that there is", () => {
    for (const [timeNs, stamp] of [
      [0n, "1970-01-01T00:00:00.000000000Z"],
      [-1n, "1969-12-31T23:59:59.999999999Z"],
      [2n ** 63n - 1n, "2262-04-11T23:47:16.854775807Z"],
    ] as const) {
      const { text } = formatCriLines("stdout", NOTHING, Buffer.from("\n"), { timeNs, ended: false });
      assert.equal(text.toString(), `${stamp} stdout F \n`);
    }
  });

  it("shows every byte once, however it came, and whoever reads on from the place", () => {
    const pieces = fc.array(
      fc.oneof(
        fc.uint8Array({ maxLength: 40 }),
        fc.constantFrom("\n", "\n\n", "line\n").map((text) => Buffer.from(text)),
        fc.nat({ max: 3 * MOST_OF_A_LINE }).map((length) => Buffer.alloc(length, "z")),
      ),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(pieces, fc.array(fc.boolean(), { maxLength: 12 }), (chunks, restarts) => {
        const all = Buffer.concat(chunks);
        const file: Buffer[] = [];
        let held: Uint8Array = NOTHING;
        let came = 0;
        for (const [index, chunk] of chunks.entries()) {
          came += chunk.length;
          const ended = index === chunks.length - 1;
          const { text, rest } = formatCriLines("stdout", held, chunk, { timeNs: TIME, ended });
          file.push(text);
          // Another kilnd has nothing but the place, and reads on from there.
          held = restarts[index] ? all.subarray(came - rest.length, came) : rest;
          assert.ok(rest.length < MOST_OF_A_LINE);
        }
        assert.deepEqual(shown(Buffer.concat(file)), all);
      }),
    );
  });
});
