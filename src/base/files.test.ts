import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { makeDirectory } from "./files.js";

const SOURCES = join(import.meta.dirname, "../../../src");

describe("a directory that can't be made", () => {
  it("is an error, also where mkdir(2) says for ever that the one above is missing", async () => {
    await assert.rejects(makeDirectory("/proc/kiln-not-here/a/b"), { code: "ENOENT" });
    await assert.rejects(makeDirectory("/dev/null/a/b"), { code: "ENOTDIR" });
  });

  it("is asked for nowhere by Node's own recursive mkdir, which would never end", async () => {
    const names = await readdir(SOURCES, { recursive: true });
    const sources = names.filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"));
    assert.ok(sources.length > 300, `${sources.length}`);
    for (const name of sources) {
      const text = await readFile(join(SOURCES, name), "utf8");
      assert.doesNotMatch(text, /mkdir(Sync)?\([^;]*recursive: true/, name);
    }
  });
});
