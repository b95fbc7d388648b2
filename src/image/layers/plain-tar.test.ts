import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { hasReason } from "../../base/errors.js";
import { openPlainTar } from "./plain-tar.js";

const CONTENT = Buffer.concat([Buffer.alloc(700_000, "tar"), randomBytes(700_000)]);

/** Chunks of that size, and whether their source was let go of. */
function source(bytes: Uint8Array, size: number) {
  const state = { closed: false };
  async function* chunks(): AsyncGenerator<Uint8Array> {
    try {
      for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
    } finally {
      state.closed = true;
    }
  }
  return { state, chunks: chunks() };
}

async function read(bytes: Uint8Array, size: number): Promise<Buffer> {
  const { chunks, state } = source(bytes, size);
  await using tar = await openPlainTar(chunks);
  // All of them are kept until the last one: none may change behind the reader's back.
  const kept: Uint8Array[] = [];
  for await (const chunk of tar) kept.push(chunk);
  assert.equal(state.closed, true);
  return Buffer.concat(kept);
}

describe("a tar that is sent", () => {
  it("is read as it is, out of gzip and out of zstd, however it is cut", async () => {
    const zstd = execFileSync("zstd", ["-c"], { input: CONTENT, maxBuffer: 4 * 1024 ** 2 });
    for (const bytes of [CONTENT, gzipSync(CONTENT), zstd]) {
      assert.ok((await read(bytes, 65_536)).equals(CONTENT));
    }
    assert.ok((await read(gzipSync("short"), 1)).equals(Buffer.from("short")));
    assert.equal((await read(Buffer.alloc(0), 1)).length, 0);
  });

  it("is refused where it is in xz, before anything is read of it, and let go of", async () => {
    const { chunks, state } = source(Buffer.from("fd377a585a0000000000", "hex"), 3);
    await assert.rejects(openPlainTar(chunks), (error) => hasReason(error, "unsupported-compression"));
    assert.equal(state.closed, true);
  });

  it("says that it ends too early, and is let go of where nobody reads it to its end", async () => {
    const cut = gzipSync(CONTENT).subarray(0, 100_000);
    await assert.rejects(read(cut, 5_000), (error) => hasReason(error, "compression-truncated"));
    for (const bytes of [CONTENT, gzipSync(CONTENT)]) {
      const { chunks, state } = source(bytes, 5_000);
      await (await openPlainTar(chunks))[Symbol.asyncDispose]();
      assert.equal(state.closed, true);
    }
  });
});
