import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readOnly, readTar } from "../../../test/fixtures/images/tar-reading.js";
import { archiveBytes, type TarSpec } from "../../../test/fixtures/images/tar-writer.js";
import { TarParser } from "./tar-parser.js";

const one: TarSpec = { path: "a" };

describe("the tar parser's sparse files", () => {
  const parts = [
    { offset: 1000, data: "first" },
    { offset: 5000, data: "x".repeat(700) },
  ];
  const logical = `${"\0".repeat(1000)}first${"\0".repeat(3995)}${"x".repeat(700)}${"\0".repeat(4300)}`;

  for (const form of ["old-gnu", "0.0", "0.1", "1.0"] as const) {
    it(`have their holes: ${form}`, () => {
      const dialect = form === "old-gnu" ? "gnu" : "pax";
      const all = readTar(archiveBytes([{ path: "s", dialect, sparse: { form, size: 10_000, parts } }, one]));
      assert.equal(all[0]?.entry.path, "s");
      assert.equal(all[0]?.entry.size, 10_000);
      assert.equal(all[0]?.data, logical);
      assert.equal(all[0]?.holes, 10_000 - 705);
      assert.equal(all[1]?.entry.path, "a");
    });

    it(`may have hundreds of parts: ${form}`, () => {
      const many = Array.from({ length: 200 }, (_, i) => ({ offset: i * 1000, data: `part ${i}` }));
      const dialect = form === "old-gnu" ? "gnu" : "pax";
      const { data } = readOnly({ path: "s", dialect, sparse: { form, size: 200_000, parts: many } });
      assert.equal(data.length, 200_000);
      for (const [i, part] of many.entries())
        assert.equal(data.slice(part.offset, part.offset + 6 + String(i).length - 1), `part ${i}`);
    });

    it(`are refused when the map lies: ${form}`, () => {
      const dialect = form === "old-gnu" ? "gnu" : "pax";
      const lies = [
        { size: 100, parts: [{ offset: 99, data: "ab" }] },
        {
          size: 100,
          parts: [
            { offset: 50, data: "ab" },
            { offset: 51, data: "c" },
          ],
        },
        {
          size: 100,
          parts: [
            { offset: 50, data: "ab" },
            { offset: 10, data: "c" },
          ],
        },
      ];
      for (const lie of lies) {
        assert.throws(() => readTar(archiveBytes([{ path: "s", dialect, sparse: { form, ...lie } }])), {
          reason: "bad-tar",
        });
      }
    });
  }

  it("are refused when more or less data is stored than the map says", () => {
    for (const map of ["0,3", "0,9", "0"]) {
      const pax = { "GNU.sparse.map": map, "GNU.sparse.size": "100" };
      assert.throws(() => readTar(archiveBytes([{ path: "s", data: "abcd", pax }])), { reason: "bad-tar" });
    }
  });

  it("are refused in versions that nobody knows", () => {
    const pax = { "GNU.sparse.major": "2", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9" };
    assert.throws(() => readTar(archiveBytes([{ path: "s", data: "abcd", pax }])), { reason: "bad-tar" });
  });

  it("may be larger than 8 GiB", () => {
    const size = 2 ** 43 + 5;
    for (const form of ["1.0", "old-gnu"] as const) {
      const dialect = form === "old-gnu" ? "gnu" : "pax";
      const bytes = archiveBytes([
        { path: "s", dialect, sparse: { form, size, parts: [{ offset: 2 ** 42, data: "x" }] } },
      ]);
      const parser = new TarParser();
      parser.push(bytes);
      const events = [parser.next(), parser.next(), parser.next(), parser.next()];
      assert.deepEqual(
        events.map((event) => (event?.type === "hole" ? event.length : event?.type)),
        ["entry", 2 ** 42, "data", size - 2 ** 42 - 1],
      );
    }
  });
});
