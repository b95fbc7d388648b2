import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { type ByteStream, OUTPUT_CHUNK } from "./byte-stream.js";
import { COMPRESSION_MAGIC_BYTES, detectCompression } from "./compression.js";
import { decompress } from "./decompress.js";
import { chooseZstdDecoder, openZstd, type ZstdDecoder } from "./zstd.js";

const AHEAD = 4 * 1024 * 1024;

async function* cut(bytes: Uint8Array, size = 64 * 1024): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size);
}

async function collect(stream: ByteStream): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of stream) chunks.push(Uint8Array.from(chunk));
  } finally {
    await stream.close();
  }
  return Buffer.concat(chunks);
}

const zstd = (bytes: Uint8Array, ...args: string[]) =>
  execFileSync("zstd", ["-q", "-c", ...args], { input: bytes, maxBuffer: 1 << 30 });

/** Compresses to about half of its size. */
const data = Buffer.concat([
  randomBytes(3_000_000),
  Buffer.alloc(3_000_000, "some text of little surprise "),
]);
const gunzip = (bytes: Uint8Array, size?: number) => collect(decompress(cut(bytes, size), "gzip"));

describe("detectCompression", () => {
  it("tells gzip, zstd, also with a skippable frame first, and none", () => {
    assert.equal(detectCompression(gzipSync("x")), "gzip");
    assert.equal(detectCompression(Buffer.from("28b52ffd0000", "hex")), "zstd");
    assert.equal(detectCompression(Buffer.from("5a2a4d180800", "hex")), "zstd");
    assert.equal(detectCompression(Buffer.from("usr/bin")), "none");
    assert.equal(detectCompression(Buffer.alloc(0)), "none");
    assert.ok(COMPRESSION_MAGIC_BYTES >= 6);
  });

  it("names what is not supported", () => {
    assert.throws(() => detectCompression(Buffer.from("BZh91AY")), {
      reason: "unsupported-compression",
      message: /bzip2/,
    });
  });
});

describe("gzip", () => {
  it("comes out as it went in, however it is cut", async () => {
    const packed = gzipSync(data);
    for (const size of [1000, 1 << 20, packed.length]) assert.ok((await gunzip(packed, size)).equals(data));
  });

  it("may have several members and zeros after them", async () => {
    const packed = Buffer.concat([gzipSync("one "), gzipSync("two"), Buffer.alloc(5000)]);
    for (const size of [1, 7, packed.length])
      assert.equal((await gunzip(packed, size)).toString(), "one two");
  });

  it("is refused with anything else after it", async () => {
    const packed = Buffer.concat([gzipSync("one"), Buffer.from("rubbish")]);
    await assert.rejects(gunzip(packed), { code: 15, reason: "compression-corrupt" });
  });

  it("is refused when it ends too early", async () => {
    const packed = gzipSync(data);
    for (const end of [5, 100, packed.length - 1]) {
      await assert.rejects(gunzip(packed.subarray(0, end)), { code: 15, reason: "compression-truncated" });
    }
  });

  it("is refused when it is damaged", async () => {
    const packed = gzipSync(data);
    packed.fill(0, 2_000_000, 2_000_100);
    await assert.rejects(gunzip(packed), { code: 15, reason: "compression-corrupt" });
  });

  it("passes an error of its source on", async () => {
    const source = async function* () {
      yield gzipSync(data).subarray(0, 1000);
      throw new Error("the disk broke");
    };
    await assert.rejects(collect(decompress(source(), "gzip")), /the disk broke/);
  });

  it("can be closed at any time, also twice and unread", async () => {
    const unread = decompress(cut(gzipSync(data)), "gzip");
    await unread.close();
    await unread.close();
    const begun = decompress(cut(gzipSync(data)), "gzip");
    for await (const chunk of begun) {
      assert.ok(chunk.length > 0);
      break;
    }
    await begun.close();
  });

  it("waits for a slow reader instead of filling memory", async () => {
    let taken = 0;
    const packed = gzipSync(Buffer.alloc(64 << 20));
    const source = async function* () {
      for await (const chunk of cut(packed, 1024)) {
        taken += chunk.length;
        yield chunk;
      }
    };
    const stream = decompress(source(), "gzip", { aheadBytes: 1 << 20 });
    let first = 0;
    for await (const chunk of stream) {
      // Everything that is going to happen without us has happened after some turns of the loop.
      if (first === 0) for (let i = 0; i < 200; i++) await new Promise((resolve) => setImmediate(resolve));
      first ||= taken;
      assert.ok(chunk.length <= OUTPUT_CHUNK);
    }
    await stream.close();
    assert.ok(
      first < packed.length / 2,
      `${first} of ${packed.length} bytes were taken before the first chunk was used`,
    );
  });
});

describe("no compression", () => {
  it("lets chunks through as they are", async () => {
    const chunk = Buffer.from("x");
    const stream = decompress(cut(chunk), "none");
    for await (const out of stream) assert.equal(out.buffer, chunk.buffer);
    await stream.close();
  });
});

for (const decoder of ["program", "script"] as const satisfies readonly ZstdDecoder[]) {
  describe(`zstd by ${decoder}`, () => {
    const unzstd = (bytes: Uint8Array, size?: number) => collect(openZstd(cut(bytes, size), AHEAD, decoder));

    it("comes out as it went in", async () => {
      for (const level of ["-1", "-9"]) assert.ok((await unzstd(zstd(data, level))).equals(data));
      assert.ok((await unzstd(zstd(data), 1000)).equals(data));
    });

    it("may have several frames, skippable ones too", async () => {
      const skippable = Buffer.from([0x51, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]);
      const packed = Buffer.concat([
        skippable,
        zstd(Buffer.from("one ")),
        skippable,
        zstd(Buffer.from("two"), "--check"),
      ]);
      for (const size of [1, packed.length]) assert.equal((await unzstd(packed, size)).toString(), "one two");
    });

    it("is refused when it ends too early", async () => {
      const packed = zstd(data);
      for (const end of [10, 1000, packed.length - 1]) {
        await assert.rejects(
          unzstd(packed.subarray(0, end)),
          { code: 15, reason: "compression-truncated" },
          `after ${end}`,
        );
      }
    });

    it("is refused when it is damaged", async () => {
      const packed = zstd(Buffer.alloc(3_000_000, "some text of little surprise, again and again "));
      packed.fill(0xff, 20, 60);
      await assert.rejects(unzstd(packed), { code: 15, reason: "compression-corrupt" });
      await assert.rejects(unzstd(Buffer.concat([zstd(data), Buffer.from("rubbish!")])), { code: 15 });
    });

    it("is refused when it wants too large a window", async () => {
      // A frame header that asks for 2 GiB, then one raw block.
      const packed = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x09, 0, 0, 0x78]);
      await assert.rejects(unzstd(packed), { code: 8, reason: "zstd-window-too-large" });
    });

    it("can be closed before its end", async () => {
      const stream = openZstd(cut(zstd(data)), AHEAD, decoder);
      for await (const chunk of stream) {
        assert.ok(chunk.length > 0);
        break;
      }
      await stream.close();
    });
  });
}

describe("the zstd decoder", () => {
  let directory = "";
  const path = process.env.PATH;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "kiln-zstd-"));
  });
  afterEach(() => {
    process.env.PATH = path;
  });
  after(() => rm(directory, { recursive: true, force: true }));

  /** Reads by a program of this text instead of zstd. */
  async function readBy(script: string): Promise<Buffer> {
    await writeFile(join(directory, "zstd"), script, { mode: 0o755 });
    process.env.PATH = directory;
    return collect(openZstd(cut(Buffer.alloc(1_000_000)), AHEAD, "program"));
  }

  it("says so when its program can't be started", async () => {
    await assert.rejects(readBy("#!/no/such/interpreter\n"), { code: 5, message: /start the zstd program/ });
  });

  it("doesn't blame the data when its program is killed", async () => {
    await assert.rejects(readBy("#!/bin/sh\nkill -9 $$\n"), { code: 14, reason: "zstd-program-ended" });
  });

  it("is the script where there is no program and Node has none", () => {
    const native = chooseZstdDecoder({}) === "native";
    assert.equal(chooseZstdDecoder({ PATH: "" }), native ? "native" : "script");
    assert.equal(chooseZstdDecoder({ PATH: "/nowhere:/usr/bin" }), native ? "native" : "program");
  });
});
