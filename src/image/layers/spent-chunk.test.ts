import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { freeSpentChunk } from "./spent-chunk.js";

const MIB = 1024 * 1024;

describe("freeSpentChunk", () => {
  it("takes a chunk's memory back, the chunks before it in the same buffer included", () => {
    const buffer = Buffer.alloc(MIB);
    const [first, second] = [buffer.subarray(0, 1000), buffer.subarray(1000)];
    freeSpentChunk(second);
    assert.equal(second.length, 0);
    assert.equal(first.length, 0);
  });

  it("leaves a chunk alone that other bytes follow in its buffer", () => {
    const chunk = Buffer.alloc(MIB).subarray(0, MIB - 1);
    freeSpentChunk(chunk);
    assert.equal(chunk.length, MIB - 1);
  });

  it("leaves Node's shared pool alone", () => {
    const pooled = Buffer.allocUnsafe(Buffer.poolSize / 2 - 1);
    const whole = new Uint8Array(pooled.buffer);
    freeSpentChunk(whole);
    assert.equal(whole.length, Buffer.poolSize);
  });

  it("leaves shared memory alone", () => {
    const shared = new Uint8Array(new SharedArrayBuffer(MIB));
    freeSpentChunk(shared);
    assert.equal(shared.length, MIB);
  });
});
