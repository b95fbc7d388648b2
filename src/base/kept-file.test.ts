import assert from "node:assert/strict";
import fs, { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { putInPlace, UNREADABLE } from "../../test/fixtures/damage.js";
import { readKept, removeKept, writeKept } from "./kept-file.js";

let directory = "";
let path = "";
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "kiln-kept-"));
  path = join(directory, "thing.json");
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const parse = (json: unknown): number | undefined => (json as { n?: number } | null)?.n;
const read = () => readKept(path, parse);

describe("a file that is kept twice", () => {
  for (const { what, change } of UNREADABLE) {
    it(`is mended from the other: ${what}`, async () => {
      await writeKept(path, { n: 1 });
      const text = await readFile(path, "utf8");
      for (const name of [path, `${path}.bak`]) {
        await putInPlace(name, change(text));
        assert.equal((await read()).value, 1, name);
        assert.equal(await readFile(path, "utf8"), text, name);
        assert.equal(await readFile(`${path}.bak`, "utf8"), text, name);
      }
    });
  }

  it("says what was wrong where both are damaged, and changes neither", async () => {
    await writeFile(path, "{");
    await writeFile(`${path}.bak`, "");
    const { value, damage } = await read();
    assert.equal(value, undefined);
    assert.match(damage ?? "", /thing\.json/);
    assert.equal(await readFile(path, "utf8"), "{");
  });

  it("is not there where neither is", async () => {
    assert.deepEqual(await read(), { value: undefined, damage: undefined });
  });

  it("takes the file before its copy", async () => {
    await writeFile(`${path}.bak`, '{"n": 1}');
    await writeFile(path, '{"n": 2}');
    assert.equal((await read()).value, 2);
    assert.equal(await readFile(`${path}.bak`, "utf8"), '{"n": 2}');
  });

  it("is written where there is room for one of both at a time, and they take it from each other", async (t) => {
    const { open } = fs;
    let refused = 0;
    t.mock.method(fs, "open", async (...args: Parameters<typeof open>) => {
      const full = Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
      if (args[1] === "wx" && refused++ < 2) throw full;
      return open(...args);
    });
    syncBuiltinESMExports();
    try {
      await writeKept(path, { n: 1 });
    } finally {
      t.mock.restoreAll();
      syncBuiltinESMExports();
    }
    assert.equal((await read()).value, 1);
    assert.deepEqual((await readdir(directory)).sort(), ["thing.json", "thing.json.bak"]);
  });

  it("survives a directory in its place", async () => {
    await writeKept(path, { n: 3 });
    await rm(path);
    await mkdir(join(path, "in the way"), { recursive: true });
    assert.equal((await read()).value, 3);
    assert.equal(await readFile(path, "utf8"), await readFile(`${path}.bak`, "utf8"));
    assert.deepEqual(await readdir(`${path}.damaged`), ["in the way"]);
  });

  for (const name of ["thing.json", "thing.json.bak", "thing.json.damaged"]) {
    it(`is written, read and removed with a directory at ${name}, and what is in that is kept`, async () => {
      await writeFile(path, '{"n": 0}');
      if (name !== "thing.json.bak") await writeFile(`${path}.bak`, '{"n": 1}');
      const place = join(directory, name);
      await rm(place, { force: true });
      await mkdir(place);
      await writeFile(join(place, "somebody's"), "");
      await read();
      await writeKept(path, { n: 2 });
      assert.equal((await read()).value, 2);
      for (const each of [path, `${path}.bak`]) assert.match(await readFile(each, "utf8"), /2/);
      await removeKept(path);
      const left = await readdir(directory, { recursive: true });
      assert.deepEqual(
        left.filter((each) => each.startsWith("thing.json")).map((each) => each.split("/")[1]),
        [undefined, "somebody's"],
        left.join(),
      );
    });
  }

  it("changes nothing where it is only to look", async () => {
    await writeFile(path, "{");
    await writeFile(`${path}.bak`, '{"n": 4}');
    assert.equal((await readKept(path, parse, { mend: false })).value, 4);
    assert.equal(await readFile(path, "utf8"), "{");
  });

  it("goes with all that is beside it", async () => {
    await writeKept(path, { n: 1 });
    await writeFile(`${path}.damaged`, "x");
    await removeKept(path);
    assert.deepEqual(await readdir(directory), []);
  });
});
