import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { describe, it } from "node:test";
import { FrameCursor, FrameTap } from "./frame-tap.js";

function frame(type: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  return Buffer.concat([head, payload]);
}

const goodbye = (code: number, words = "") =>
  frame(7, Buffer.concat([Buffer.from([0, 0, 0, 0, 0, 0, 0, code]), Buffer.from(words)]));

describe("FrameCursor", () => {
  it("finds each goodbye among frames, however they are cut", () => {
    const bytes = Buffer.concat([
      Buffer.alloc(24, 7),
      frame(4, Buffer.alloc(0)),
      frame(0, Buffer.alloc(300, 7)),
      goodbye(0),
      frame(7, Buffer.alloc(3)),
      goodbye(1, "words"),
      frame(6, Buffer.alloc(8)),
      goodbye(11),
    ]);
    for (const step of [1, 2, 7, 9, 17, 100, bytes.length]) {
      const codes: number[] = [];
      const cursor = new FrameCursor(24, { onGoodbye: (code) => codes.push(code) });
      for (let at = 0; at < bytes.length; at += step) cursor.push(bytes.subarray(at, at + step));
      assert.deepEqual(codes, [0, 1, 11], `in steps of ${step}`);
      assert.equal(cursor.inFrame, false);
    }
  });

  it("knows that a frame has begun and not ended", () => {
    const cursor = new FrameCursor(0);
    cursor.push(frame(0, Buffer.alloc(20)).subarray(0, 28));
    assert.equal(cursor.inFrame, true);
    cursor.push(Buffer.alloc(1));
    assert.equal(cursor.inFrame, false);
  });
});

describe("FrameTap", () => {
  it("passes bytes and their end, and ends its channel", async () => {
    const channel = new PassThrough();
    const tap = new FrameTap(channel, { calls: "ours", onFlood: () => undefined });
    tap.write("one ");
    tap.cork();
    tap.write("two ");
    tap.write("three");
    tap.uncork();
    tap.end();
    let text = "";
    for await (const chunk of tap) text += chunk;
    assert.equal(text, "one two three");
    tap.destroy();
    assert.equal(channel.destroyed, true);
  });
});
