import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { EchoScanner, encodeEcho, encodeHello, HELLO_BYTES, NONCE_BYTES } from "./hello.js";

const NONCE = Buffer.alloc(NONCE_BYTES, 7);

/** Feeds `bytes` cut at `cuts`; what was found, and where it was cut last. */
function feed(scanner: EchoScanner, bytes: Buffer, cuts: readonly number[]) {
  const edges = [...new Set([...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])];
  edges.sort((one, other) => one - other);
  let from = 0;
  for (const to of edges) {
    const found = scanner.push(bytes.subarray(from, to));
    if (found !== undefined) return { ...found, rest: Buffer.concat([found.rest, bytes.subarray(to)]) };
    from = to;
  }
  return undefined;
}

function scannerOf(nonce: Uint8Array): EchoScanner {
  const scanner = new EchoScanner();
  scanner.expect(nonce);
  return scanner;
}

describe("hello", () => {
  it("begins with what no HTTP/2 frame begins with", () => {
    const hello = encodeHello(NONCE);
    assert.equal(hello.length, HELLO_BYTES);
    assert.equal(hello.readUIntBE(0, 3), 0xffffff);
    assert.equal(hello.readUInt16BE(8), 1);
    assert.deepEqual(hello.subarray(16), NONCE);
  });

  it("is not its own echo", () => {
    assert.equal(scannerOf(NONCE).push(encodeHello(NONCE)), undefined);
  });

  it("finds the echo behind any bytes, however they are cut, and loses nothing after it", () => {
    const bytes = fc.uint8Array({ maxLength: 300 });
    fc.assert(
      fc.property(bytes, bytes, fc.array(fc.nat(), { maxLength: 20 }), (before, after, cuts) => {
        const stream = Buffer.concat([before, encodeEcho(NONCE), after]);
        const found = feed(scannerOf(NONCE), stream, cuts);
        assert.equal(found?.version, 1);
        assert.deepEqual(found.rest, Buffer.from(after));
      }),
    );
  });

  it("passes over echoes of other nonces and halves of echoes", () => {
    const other = encodeEcho(Buffer.alloc(NONCE_BYTES, 8));
    const stream = Buffer.concat([other, other.subarray(0, 20), encodeEcho(NONCE)]);
    const scanner = scannerOf(NONCE);
    assert.deepEqual(feed(scanner, stream, [3, 40])?.rest, Buffer.alloc(0));
    assert.equal(scanner.heardAnother, true);
  });

  it("counts the echo of the last nonce only", () => {
    const scanner = scannerOf(Buffer.alloc(NONCE_BYTES, 8));
    scanner.expect(NONCE);
    assert.equal(scanner.push(encodeEcho(Buffer.alloc(NONCE_BYTES, 8))), undefined);
    assert.deepEqual(scanner.push(encodeEcho(NONCE)), { version: 1, rest: Buffer.alloc(0) });
  });

  it("counts what it drops and holds less than one echo", () => {
    const scanner = scannerOf(NONCE);
    for (let round = 0; round < 100; round++) scanner.push(Buffer.alloc(1000, 0xff));
    assert.ok(scanner.dropped > 100_000 - HELLO_BYTES && scanner.dropped <= 100_000);
  });
});
