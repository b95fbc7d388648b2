import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { DerivedFiles } from "./derived-files.js";

let root = "";
let files: DerivedFiles;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "kiln-derived-"));
  files = new DerivedFiles({ root: join(root, "modules"), id: /^[0-9a-f]{4}$/, ending: ".ext4" });
  await files.open();
});
afterEach(() => rm(root, { recursive: true, force: true }));

describe("a file that can be made again", () => {
  it("is there when all of it is", async () => {
    const path = await files.make("00aa", async (temp) => {
      await writeFile(temp, "whole");
      assert.equal(await files.has("00aa"), false);
    });
    assert.equal(await readFile(path, "utf8"), "whole");
    assert.deepEqual([await files.has("00aa"), await files.ids()], [true, ["00aa"]]);
    assert.equal(((await stat(join(root, "modules"))).mode & 0o777).toString(8), "700");
  });

  it("leaves nothing where it can't be made, and an older one stays", async () => {
    await files.make("00aa", (temp) => writeFile(temp, "old"));
    const fails = async (temp: string) => {
      await writeFile(temp, "half");
      throw new Error("no");
    };
    for (const id of ["00aa", "00bb"]) await assert.rejects(files.make(id, fails), /no/);
    assert.deepEqual(await readdir(join(root, "modules")), ["00aa.ext4"]);
    assert.equal(await readFile(files.path("00aa"), "utf8"), "old");
  });

  it("is not there while it is empty, and half of one goes when kilnd starts", async () => {
    await writeFile(files.path("00aa"), "");
    await writeFile(`${files.path("00bb")}.tmp-0a`, "half");
    assert.deepEqual([await files.has("00aa"), await files.open()], [false, ["00aa"]]);
    assert.deepEqual(await readdir(join(root, "modules")), ["00aa.ext4"]);
  });

  it("goes once, and gives its bytes back", async () => {
    await files.make("00aa", (temp) => writeFile(temp, "x".repeat(10_000)));
    assert.ok((await files.remove("00aa")) >= 10_000);
    assert.equal(await files.remove("00aa"), 0);
  });

  it("knows what is none of its kind", async () => {
    for (const name of ["00aa.ext4", "00bb.ext4", "x.ext4", "00aa.img", "00cc.ext4.tmp-0a"]) {
      await writeFile(join(root, "modules", name), "x");
    }
    const strays = (await files.strays(new Set(["00aa"]))).map((path) => path.slice(root.length));
    assert.deepEqual(strays.sort(), ["/modules/00aa.img", "/modules/00bb.ext4", "/modules/x.ext4"]);
  });
});
