import assert from "node:assert/strict";
import { appendFile, link, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { type ReadConsoleOptions, readConsole } from "./console-reader.js";

let directory: string;
let path: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "kiln-console-"));
  path = join(directory, "console.log");
});
afterEach(() => rm(directory, { recursive: true, force: true }));

async function textOf(options: ReadConsoleOptions): Promise<string> {
  let text = "";
  for await (const { data } of readConsole(path, options)) text += Buffer.from(data).toString();
  return text;
}

describe("readConsole", () => {
  it("reads what is kept", async () => {
    await writeFile(path, "one\ntwo\n");
    assert.equal(await textOf({}), "one\ntwo\n");
  });

  for (const [tail, expected] of [
    [0, ""],
    [1, "three"],
    [2, "two\nthree"],
    [9, "one\ntwo\nthree"],
  ] as const) {
    it(`begins with the last ${tail} lines`, async () => {
      await writeFile(path, "one\ntwo\nthree");
      assert.equal(await textOf({ tail }), expected);
    });
  }

  it("reads nothing where there is nothing", async () => {
    assert.equal(await textOf({ tail: 3 }), "");
  });

  it("shows no other file that was linked in its place", async () => {
    await writeFile(`${path}.secret`, "secret");
    await link(`${path}.secret`, path);
    assert.equal(await textOf({}), "");
  });

  it("follows across a rotation until the VM has ended", async () => {
    await writeFile(path, "old\n");
    let looks = 0;
    const steps = [
      () => appendFile(path, "more\n"),
      () => rename(path, `${path}.1`).then(() => writeFile(path, "new\n")),
      () => appendFile(path, "last\n"),
    ];
    let text = "";
    // Each look that finds nothing new lets the file change once.
    const following = () => looks++ < steps.length;
    for await (const { data } of readConsole(path, { following })) {
      text += Buffer.from(data).toString();
      await steps.shift()?.();
    }
    assert.equal(text, "old\nmore\nnew\nlast\n");
  });

  it("goes on behind what was read, and begins anew where the file is another", async () => {
    await writeFile(path, "one\n");
    const read = await readConsole(path, {}).next();
    const after = read.done === true ? undefined : read.value.next;
    assert.equal(after?.sequence, 4n);
    await appendFile(path, "two\n");
    assert.equal(await textOf({ after, tail: 0 }), "two\n");
    await rename(path, `${path}.1`);
    await writeFile(path, "three\n");
    assert.equal(await textOf({ after }), "three\n");
  });

  it("stops when its caller leaves", async () => {
    await writeFile(path, "x");
    const abort = new AbortController();
    abort.abort(new Error("left"));
    await assert.rejects(textOf({ following: () => true, signal: abort.signal }), { message: "left" });
  });
});
