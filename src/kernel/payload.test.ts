import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../base/errors.js";
import { detectCompression, unpack, unpackZstdInSteps } from "./payload.js";

/** "kiln fires images " a hundred times over, packed by the zstd program. */
const ZSTD = Buffer.from("KLUv/QRo1QAAkGtpbG4gZmlyZXMgaW1hZ2VzIAEA5q1/hgGYBWKy", "base64");

describe("unpacking", () => {
  it("knows packings by their first bytes", () => {
    const known = ["02214c18", "1f8b08", "28b52ffd", "fd377a585a00", "5d0000", "425a68", "894c5a4f", "00"];
    assert.deepEqual(
      known.map((magic) => detectCompression(Buffer.from(magic.padEnd(16, "0"), "hex"))),
      ["lz4", "gzip", "zstd", "xz", "lzma", "bzip2", "lzo", undefined],
    );
  });

  it("gives the same with the zstd of the host and with our own", async () => {
    const expected = "kiln fires images ".repeat(100);
    assert.equal((await unpack(ZSTD, "zstd", 5000)).toString(), expected);
    assert.equal((await unpackZstdInSteps(ZSTD, 5000)).toString(), expected);
  });

  it("stops our own zstd at the limit", async () => {
    await assert.rejects(unpackZstdInSteps(ZSTD, 1799), RangeError);
  });

  it("refuses what is larger than allowed, whoever unpacks it", async () => {
    await assert.rejects(unpack(ZSTD, "zstd", 1799), (error) => hasReason(error, "invalid-kernel"));
  });
});
