import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { base64Decode, base64Encode } from "@bufbuild/protobuf/wire";
import { setFromBase64, toBase64 } from "./fast-base64.js";

describe("toBase64", () => {
  it("is what protobuf says, of each length and alphabet", () => {
    for (let length = 0; length < 50; length++) {
      const bytes = new Uint8Array(randomBytes(length + 3)).subarray(3);
      assert.equal(toBase64(bytes), Buffer.from(bytes).toString("base64"));
      for (const [encoding, options] of [
        ["std", undefined],
        ["std_raw", { omitPadding: true }],
        ["url", { alphabet: "base64url", omitPadding: true }],
      ] as const) {
        const text = toBase64(bytes, options);
        assert.equal(text, base64Encode(bytes, encoding));
        assert.deepEqual(base64Decode(text), bytes);
      }
      assert.equal(toBase64(bytes, { alphabet: "base64url" }).length % 4, 0);
    }
  });

  it("is read back, and what is not strict is left to protobuf", () => {
    const bytes = new Uint8Array(randomBytes(1000));
    for (let length = 0; length < 50; length++) {
      const [wanted, target] = [bytes.subarray(length, length * 2), new Uint8Array(length)];
      const text = Buffer.from(wanted).toString("base64");
      assert.deepEqual(setFromBase64(target, text), { read: text.length, written: length });
      assert.deepEqual(target, wanted);
    }
    for (const text of ["a", "ab", "a===", "ab=c", "ab-_", "ab\nc", "=abc"])
      assert.throws(() => setFromBase64(new Uint8Array(8), text), SyntaxError);
    assert.deepEqual([...base64Decode("_-8")], [0xff, 0xef]);
    assert.throws(() => base64Decode("!!!!"));
  });

  it("serves protobuf's JSON in kilnd, which looks for it as it is loaded", async () => {
    assert.equal(typeof (Uint8Array.prototype as { toBase64?: unknown }).toBase64, "function");
    const main = await readFile(new URL("./program.js", import.meta.url), "utf8");
    const imports = [...main.matchAll(/^import .*?"(.+)";$/gm)].map(([, from]) => from);
    // What comes before it loads no protobuf.
    assert.deepEqual(imports.slice(0, 2), ["../base/runtime.js", "./fast-base64.js"]);
  });
});
