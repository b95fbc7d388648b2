import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { archiveBytes } from "../../../test/fixtures/images/tar-writer.js";
import { layerLimits } from "./limits.js";
import { readTarEntries } from "./tar-reader.js";

async function* cut(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size);
}

async function textOf(data: AsyncIterable<Uint8Array>): Promise<string> {
  let text = "";
  for await (const chunk of data) text += Buffer.from(chunk).toString("latin1");
  return text;
}

const bytes = archiveBytes([
  { path: "a", data: "first" },
  { path: "big", data: "x".repeat(3000) },
  { path: "d", type: "directory" },
  { path: "s", sparse: { form: "1.0", size: 200_000, parts: [{ offset: 100_000, data: "middle" }] } },
  { path: "z", data: "last" },
]);

describe("reading a tar entry by entry", () => {
  it("gives each with its data", async () => {
    for (const size of [100, 512, 100_000]) {
      const found: [string, string][] = [];
      for await (const { entry, data } of readTarEntries(cut(bytes, size)))
        found.push([entry.path, await textOf(data)]);
      const middle = `${"\0".repeat(100_000)}middle${"\0".repeat(99_994)}`;
      assert.deepEqual(found, [
        ["a", "first"],
        ["big", "x".repeat(3000)],
        ["d", ""],
        ["s", middle],
        ["z", "last"],
      ]);
    }
  });

  it("skips data that nobody wants, or wants only the beginning of", async () => {
    const found: string[] = [];
    for await (const { entry, data } of readTarEntries(cut(bytes, 100))) {
      found.push(entry.path);
      if (entry.path !== "big") continue;
      for await (const chunk of data) {
        assert.ok(chunk.length > 0);
        break;
      }
    }
    assert.deepEqual(found, ["a", "big", "d", "s", "z"]);
  });

  it("closes its source when the loop is left", async () => {
    let closed = false;
    const source = async function* () {
      try {
        yield* cut(bytes, 512);
      } finally {
        closed = true;
      }
    };
    for await (const { entry } of readTarEntries(source())) if (entry.path === "big") break;
    assert.equal(closed, true);
  });

  it("tells of a truncated archive", async () => {
    const read = async () => {
      for await (const { data } of readTarEntries(cut(bytes.subarray(0, 2000), 512))) await textOf(data);
    };
    await assert.rejects(read, { reason: "tar-truncated" });
  });

  it("applies the limits it is given", async () => {
    const read = async () => {
      for await (const { data } of readTarEntries(cut(bytes, 512), layerLimits({ maxFileBytes: 100 })))
        await textOf(data);
    };
    await assert.rejects(read, { reason: "file-too-large" });
  });
});
