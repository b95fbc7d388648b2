// Archives that nobody wrote: whatever the bytes are, reading them ends, in a result or in a KilnError.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { MemorySink } from "../../../test/fixtures/images/memory-sink.js";
import {
  archiveBytes,
  bytesOf,
  END_OF_ARCHIVE,
  extension,
  header,
  paxHeader,
  type TarSpec,
} from "../../../test/fixtures/images/tar-writer.js";
import { KilnError } from "../../base/errors.js";
import { LayerApplier } from "./layer-applier.js";
import { layerLimits } from "./limits.js";
import { TarParser } from "./tar-parser.js";
import { ZstdFrames } from "./zstd-frames.js";

const BLOCK = 512;
const parts = Array.from({ length: 8 }, (_, i) => ({ offset: i * 900, data: `part ${i}` }));
/** Every kind of header, so that a few changed bytes reach every branch. */
const MODEL = archiveBytes([
  { path: "d", type: "directory", xattrs: { "user.a": "b" } },
  { path: "d/f", data: "hello", mtimeNs: -1n },
  paxHeader("g", { mtime: "1", "SCHILY.xattr.user.g": "1" }),
  { path: "x".repeat(150), data: "long" },
  { path: "l", type: "symlink", linkTarget: "d" },
  { path: "l/h", type: "hardlink", linkTarget: "d/f" },
  { path: "y".repeat(150), dialect: "gnu", type: "symlink", linkTarget: "z".repeat(150) },
  { path: "s1", sparse: { form: "1.0", size: 9000, parts } },
  { path: "s0", sparse: { form: "0.0", size: 9000, parts } },
  { path: "so", dialect: "gnu", sparse: { form: "old-gnu", size: 9000, parts } },
  { path: "d/.wh.f" },
  { path: "d/.wh..wh..opq" },
  { path: "c", type: "char", major: 1, minor: 2 },
]);

const edit = fc.record({
  offset: fc.nat(MODEL.length - 1),
  bytes: fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 12 }),
    fc
      .constantFrom(
        "\xff\xff\xff\xff\xff\xff\xff\xff",
        "77777777777",
        "../",
        "/",
        "\n",
        "0",
        "9999999999",
        "x",
        "L",
      )
      .map(bytesOf),
  ),
});

/** Small limits: a changed size must not make us hash gigabytes of holes. */
const limits = layerLimits({ maxFileBytes: 1 << 20, maxEntries: 1000 });

/** The model with some bytes changed, and with the checksums of `fixed` blocks right again. */
function damaged(edits: readonly { offset: number; bytes: Uint8Array }[], fix: boolean): Buffer {
  const bytes = Buffer.from(MODEL);
  for (const { offset, bytes: patch } of edits) bytes.set(patch.subarray(0, bytes.length - offset), offset);
  if (!fix) return bytes;
  for (const { offset } of edits) {
    const block = bytes.subarray(offset - (offset % BLOCK), offset - (offset % BLOCK) + BLOCK);
    block.fill(" ", 148, 156);
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  }
  return bytes;
}

/** Applies an archive as a layer; true where it was taken. */
async function apply(bytes: Buffer, chunkSize: number): Promise<boolean> {
  const sink = new MemorySink();
  const applier = new LayerApplier(sink, limits);
  const parser = new TarParser(limits);
  try {
    applier.beginLayer();
    for (let i = 0; i < bytes.length; i += chunkSize) {
      parser.push(bytes.subarray(i, i + chunkSize));
      await applier.applyEvents(parser);
    }
    parser.finish();
    applier.endLayer();
  } catch (error) {
    assert.ok(error instanceof KilnError, String(error));
    assert.notEqual(error.reason, "internal");
    return false;
  }
  await sink.finish(applier.root);
  return true;
}

describe("tars of random bytes", () => {
  it("end in a tree or a KilnError", async () => {
    const property = fc.asyncProperty(
      fc.array(edit, { minLength: 1, maxLength: 4 }),
      fc.boolean(),
      async (edits, fix) => {
        await apply(damaged(edits, fix), 4096);
      },
    );
    await fc.assert(property, { numRuns: 2000 });
  });

  it("say the same however they are cut", async () => {
    const property = fc.asyncProperty(
      fc.array(edit, { maxLength: 2 }),
      fc.integer({ min: 1, max: 2000 }),
      async (edits, size) => {
        const bytes = damaged(edits, true);
        assert.equal(await apply(bytes, size), await apply(bytes, bytes.length));
      },
    );
    await fc.assert(property, { numRuns: 300 });
  });

  it("may be of extended headers alone", () => {
    const body = fc.uint8Array({ maxLength: 300 });
    const flag = fc.constantFrom("x", "g", "L", "K");
    fc.assert(
      fc.property(flag, body, (f, b) => {
        const parser = new TarParser(limits);
        parser.push(Buffer.concat([extension(f, b), header({}), END_OF_ARCHIVE]));
        try {
          let events = 0;
          while (parser.next() !== undefined) events++;
          parser.finish();
          assert.equal(events, 2);
        } catch (error) {
          assert.ok(error instanceof KilnError);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe("what the test's writer wrote", () => {
  const name = fc
    .string({ unit: "grapheme", minLength: 1, maxLength: 120 })
    .filter((text) => !text.includes("\0"));
  const spec: fc.Arbitrary<TarSpec> = fc.record({
    path: name,
    data: fc.string({ maxLength: 1200 }),
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: fc.integer({ min: 0, max: 0xffff_fffe }),
    gid: fc.integer({ min: 0, max: 0xffff_fffe }),
    mtimeNs: fc.bigInt({ min: -(10n ** 19n), max: 10n ** 19n }),
    xattrs: fc.dictionary(fc.stringMatching(/^user\.[a-z]{1,9}$/), fc.uint8Array({ maxLength: 40 })),
  });

  it("is read back", () => {
    fc.assert(
      fc.property(fc.array(spec, { maxLength: 4 }), (specs) => {
        const parser = new TarParser();
        parser.push(archiveBytes(specs));
        const read: object[] = [];
        for (let event = parser.next(); event !== undefined; event = parser.next()) {
          if (event.type !== "entry") continue;
          const { path, size, mode, uid, gid, mtimeNs, xattrs } = event.entry;
          read.push({ path, size, mode, uid, gid, mtimeNs, xattrs: new Map(xattrs ?? []) });
        }
        const written = specs.map(({ path, data, mode, uid, gid, mtimeNs, xattrs }) => {
          const attributes = Object.entries(xattrs ?? {}).map(
            ([key, value]) => [key, Uint8Array.from(bytesOf(value))] as const,
          );
          const size = bytesOf(data ?? "").length;
          return {
            path: bytesOf(path).toString("latin1"),
            size,
            mode,
            uid,
            gid,
            mtimeNs,
            xattrs: new Map(attributes),
          };
        });
        assert.deepEqual(read, written);
      }),
      { numRuns: 300 },
    );
  });
});

describe("zstd frames of random bytes", () => {
  it("end in a verdict or a KilnError", () => {
    const start = fc.constantFrom("28b52ffd", "502a4d18", "").map((hex) => Buffer.from(hex, "hex"));
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 60 }), (magic, rest) => {
        const frames = new ZstdFrames();
        try {
          frames.check(Buffer.concat([magic, rest]));
          frames.finish();
        } catch (error) {
          assert.ok(error instanceof KilnError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
