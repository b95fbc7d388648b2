import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { promisify } from "node:util";

/** Keeps much alive for a moment, again and again, and prints the largest that the young generation was. */
const SCRIPT = `
const { getHeapSpaceStatistics } = await import("node:v8");
let most = 0;
for (let round = 0; round < 40; round++) {
  const alive = [];
  for (let i = 0; i < 20_000; i++) alive.push({ i });
  const { space_size } = getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space");
  most = Math.max(most, space_size);
}
console.log(most);
`;

async function youngest(...imports: readonly string[]): Promise<number> {
  const words = [...imports.map((url) => `--import=${url}`), "--input-type=module", "-e", SCRIPT];
  return Number((await promisify(execFile)(process.execPath, words)).stdout);
}

describe("kilnd's heap", () => {
  it("has a young generation that stays small", async () => {
    const small = await youngest(new URL("small-heap.js", import.meta.url).href);
    const usual = await youngest();
    assert.ok(small > 0 && small <= 4 * 1024 ** 2, `${small} bytes`);
    assert.ok(usual > 2 * small, `${usual} bytes without, ${small} with`);
  });

  it("is made so before kilnd's own code is read", async () => {
    const main = await readFile(new URL("./main.js", import.meta.url), "utf8");
    const loaded = [...main.matchAll(/^\s*(?:await )?import\b.*?"(.+?)"/gm)].map(([, from]) => from);
    assert.deepEqual(loaded, ["./small-heap.js", "./program.js"]);
  });
});
