import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { oneAhead } from "./byte-stream.js";
import { decompress } from "./decompress.js";

const MIB = 1024 * 1024;

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const copies: Uint8Array[] = [];
  for await (const chunk of chunks) copies.push(Uint8Array.from(chunk));
  return Buffer.concat(copies);
}

/** Writes over a chunk as soon as the contract allows it. */
async function* inTwoBuffers(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  let [mine, other] = [Buffer.alloc(10_000), Buffer.alloc(10_000)];
  for (let at = 0; at < bytes.length; at += mine.length, [mine, other] = [other, mine]) {
    const part = bytes.subarray(at, at + mine.length);
    mine.fill(0xff).set(part);
    yield mine.subarray(0, part.length);
  }
}

describe("a decompressor", () => {
  const data = randomBytes(2 * MIB);

  for (const compression of ["gzip", "none"] as const) {
    it(`of ${compression} is done with a chunk when the next but one is asked for`, async () => {
      const packed = compression === "gzip" ? gzipSync(data) : data;
      const stream = decompress(inTwoBuffers(packed), compression);
      assert.ok((await collect(stream)).equals(data));
      await stream.close();
    });
  }

  it("keeps no chunk that was used", async () => {
    const stream = decompress(inTwoBuffers(gzipSync(Buffer.alloc(8 * MIB))), "gzip");
    const given: Uint8Array[] = [];
    for await (const chunk of stream) given.push(chunk);
    await stream.close();
    const held = given.reduce((sum, chunk) => sum + chunk.buffer.byteLength, 0);
    assert.ok(held <= MIB, `${held} bytes are still there`);
  });
});

describe("oneAhead", () => {
  it("asks for the next chunk before the one given was used", async () => {
    const asked: number[] = [];
    const source = async function* () {
      for (let n = 1; n <= 3; n++) {
        asked.push(n);
        yield Buffer.of(n);
      }
    };
    const chunks = oneAhead(source());
    await chunks.next();
    assert.deepEqual(asked, [1, 2]);
    assert.equal((await collect(chunks)).length, 2);
  });

  it("ends its source when it is left early, also while that is at work", async () => {
    let ended = false;
    const source = async function* () {
      try {
        for (;;) {
          await new Promise((resolve) => setImmediate(resolve));
          yield Buffer.of(1);
        }
      } finally {
        ended = true;
      }
    };
    for await (const chunk of oneAhead(source())) if (chunk.length > 0) break;
    assert.ok(ended);
  });

  it("passes an error on once what came before it was given", async () => {
    const source = async function* () {
      yield Buffer.of(1);
      throw new Error("the disk broke");
    };
    const chunks = oneAhead(source());
    assert.equal((await chunks.next()).done, false);
    await assert.rejects(chunks.next(), /the disk broke/);
  });
});
