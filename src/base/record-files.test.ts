import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { damageFile, UNREADABLE } from "../../test/fixtures/damage.js";
import { THING, type Thing } from "../../test/fixtures/things.js";
import { RecordFiles } from "./record-files.js";

let root = "";
let files: RecordFiles<Thing>;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "kiln-records-"));
  files = new RecordFiles<Thing>({ root, id: /^\d{4}$/, form: { kind: THING }, companions: [".tar"] });
});
afterEach(() => rm(root, { recursive: true, force: true }));

const thing = (color: string): Thing => ({ version: 2, id: "", color, parts: [] });
const colors = async () => (await files.load()).map(({ id, record }) => [id, record.value?.color]);

describe("records in one directory", () => {
  it("are none where the directory is not there, which is not made", async () => {
    await rm(root, { recursive: true });
    assert.deepEqual([await files.load(), await files.strays(new Set())], [[], []]);
    await files.sweep();
    await assert.rejects(readdir(root), /ENOENT/);
  });

  it("are read in order of their ids, and what was written last is read", async () => {
    await files.save("0002", thing("red"));
    await files.save("0001", thing("blue"), { durable: false });
    await files.save("0002", thing("green"));
    assert.deepEqual(await colors(), [
      ["0001", "blue"],
      ["0002", "green"],
    ]);
  });

  for (const damage of UNREADABLE) {
    it(`are not left out where they are damaged: ${damage.what}`, async () => {
      await files.save("0001", thing("red"));
      await files.save("0002", thing("blue"));
      await damageFile(files.path("0001"), damage);
      await damageFile(files.path("0002"), damage, true);
      // Without any file there is nothing that could be left out.
      const lost = damage.what === "missing" ? [] : [["0002", undefined]];
      assert.deepEqual(await colors(), [["0001", "red"], ...lost]);
    });
  }

  it("of an older form are brought up to date", async () => {
    await writeFile(files.path("0001"), JSON.stringify({ version: 1, colour: "red", more: 1 }));
    await files.load();
    const now = JSON.parse(await readFile(files.path("0001"), "utf8"));
    assert.deepEqual(now, { version: 2, id: "", color: "red", parts: [], more: 1 });
  });

  it("go with what is beside them", async () => {
    await writeFile(files.path("0001", ".tar"), "");
    await files.save("0001", thing("red"));
    await writeFile(`${files.path("0001")}.damaged`, "");
    await files.remove("0001");
    await files.remove("0001");
    assert.deepEqual(await readdir(root), []);
  });

  it("after a kill: companions without a record go, and half-written files", async () => {
    await files.save("0001", thing("red"));
    for (const name of ["0001.tar", "0002.tar", "0003.json.tmp-0a", "archive.tmp-0b", "somebody's"]) {
      await writeFile(join(root, name), "");
    }
    await files.sweep();
    const left = ["0001.json", "0001.json.bak", "0001.tar", "somebody's"];
    assert.deepEqual((await readdir(root)).sort(), left);
    // A removal that was cut behind the record.
    for (const name of ["0001.json", "0001.json.bak"]) await rm(join(root, name));
    await files.sweep();
    assert.deepEqual(await readdir(root), ["somebody's"]);
  });

  it("know what is none of theirs", async () => {
    const known = [
      "0001.json",
      "0001.json.bak",
      "0001.json.damaged",
      "0001.json.damaged-0123456789ab",
      "0001.tar",
    ];
    for (const name of [...known, "0002.json", "x", "0003.json.tmp-0a"])
      await writeFile(join(root, name), "");
    await mkdir(join(root, "0001"));
    const strays = await files.strays(new Set(["0001"]));
    assert.deepEqual(strays, [join(root, "0001"), join(root, "0002.json"), join(root, "x")]);
  });
});
