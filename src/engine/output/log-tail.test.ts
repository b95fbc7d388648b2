import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { logCase, record, textOf } from "../../../test/fixtures/vm-logs.js";
import { positionOfTail } from "./log-position.js";
import type { VmLog } from "./vm-log.js";

const logs = logCase();

async function streamsOf(log: VmLog, tail: number): Promise<string[]> {
  const texts = { stdout: "", stderr: "" };
  for await (const { stream, data } of log.read({ tail })) texts[stream] += Buffer.from(data).toString();
  return [texts.stdout, texts.stderr];
}

describe("the end of a VM's output", () => {
  for (const [lines, expected] of [
    [0, ""],
    [1, "c\n"],
    [2, "bb\nc\n"],
    [3, "a\nbb\nc\n"],
    [9, "a\nbb\nc\n"],
  ] as const) {
    it(`reads the last ${lines} lines across records that split them`, async () => {
      const log = await logs.written("a\nb", "b\n", "c", "\n");
      assert.equal(await textOf(log, { tail: lines }), expected);
    });
  }

  for (const options of [{}, { tail: 2 }, { tail: 2, follow: true }]) {
    it(`reads to the end that there was when it was asked, with ${JSON.stringify(options)}`, async () => {
      const log = await logs.written("a\n", "b\n");
      let text = "";
      for await (const { data } of log.read(options)) {
        if (text === "") await log.append([record(4, "c\n")]);
        text += Buffer.from(data).toString();
        if (text.endsWith("c\n")) await log.end();
      }
      assert.equal(text, "follow" in options ? "a\nb\nc\n" : "a\nb\n");
    });
  }

  for (const segmentBytes of [2, 10_000]) {
    it(`counts lines back from a place, whatever is written behind it, in segments of ${segmentBytes} bytes`, async () => {
      const log = await logs.interleaved(["a\n", "b\n", "c\n"], segmentBytes);
      const end = await log.endPosition();
      const before = await positionOfTail(logs.directory, 2, end);
      for (let n = 3; n < 9; n++) await log.append([record(n * 2, "x\n")]);
      assert.deepEqual(await positionOfTail(logs.directory, 2, end), before);
      assert.ok((await textOf(log, { from: before })).startsWith("b\nc\n"));
      assert.deepEqual(await positionOfTail(logs.directory, 0, end), end);
    });
  }

  it("counts an unfinished last line as a line", async () => {
    const log = await logs.written("a\nb\n", "prompt> ");
    assert.equal(await textOf(log, { tail: 1 }), "prompt> ");
    assert.equal(await textOf(log, { tail: 2 }), "b\nprompt> ");
  });

  for (const [order, records] of [
    ["in the order of writing", ["1\n99\n100\n", "!oops\n", "unfinished"]],
    ["with all of one pipe first", ["1\n99\n100\nunfinished", "!oops\n"]],
    ["with the other pipe first", ["1\n99\n", "!oops\n", "100\nunfinished"]],
    ["cut within a line by the other pipe", ["1\n99\n10", "!oo", "0\nunfin", "!ps\n", "ished"]],
  ] as const) {
    for (const segmentBytes of [30, 60, 10_000]) {
      it(`counts the lines of each stream, ${order}, in segments of ${segmentBytes} bytes`, async () => {
        const log = await logs.interleaved(records, segmentBytes);
        assert.deepEqual(await streamsOf(log, 3), ["100\nunfinished", "oops\n"]);
        assert.deepEqual(await streamsOf(log, 4), ["99\n100\nunfinished", "oops\n"]);
      });
    }
  }

  it("begins a line with each boot", async () => {
    const log = logs.make(logs.directory);
    for (const [boot, text] of [
      [1, "a\nunfinished"],
      [2, "b\nc\n"],
    ] as const) {
      await log.begin(boot);
      await log.append([record(0, text)]);
      await log.end();
    }
    assert.equal(await textOf(log, { tail: 2 }), "b\nc\n");
    assert.equal(await textOf(log, { tail: 3 }), "unfinishedb\nc\n");
  });
});
