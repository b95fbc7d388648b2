import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { readJson } from "./files.js";
import { readKept } from "./kept-file.js";
import { readPlainFile, readPlainFileSync } from "./plain-file.js";

describe("readPlainFile", () => {
  let directory: string;
  const at = (name: string) => join(directory, name);
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "kiln-plain-"));
    execFileSync("mkfifo", [at("fifo")]);
    await mkdir(at("directory"));
    await writeFile(at("file"), "x".repeat(100_000));
  });
  after(() => rm(directory, { recursive: true, force: true }));

  it("reads all of a file, at once or not, and what says that it is empty", async () => {
    assert.equal((await readPlainFile(at("file"), 100_000)).length, 100_000);
    assert.equal(readPlainFileSync(at("file"), 100_000).length, 100_000);
    assert.match(String(await readPlainFile("/proc/self/status", 65_536)), /^Name:/);
  });

  it("refuses what is larger than its limit, also where no size says so", async () => {
    await assert.rejects(readPlainFile(at("file"), 99_999), { reason: "file-too-large" });
    assert.throws(() => readPlainFileSync(at("file"), 99_999), { reason: "file-too-large" });
    await assert.rejects(readPlainFile("/proc/self/status", 10), { reason: "file-too-large" });
  });

  // Were one of them waited for, or read to its end, there would be no fifth.
  for (const kind of ["fifo", "directory", "device"]) {
    it(`refuses a ${kind} at once`, async () => {
      const path = kind === "device" ? "/dev/zero" : at(kind);
      for (let count = 0; count < 5; count++)
        await assert.rejects(readPlainFile(path, 1000), { reason: "not-a-file" });
      assert.throws(() => readPlainFileSync(path, 1000), { reason: "not-a-file" });
      await assert.rejects(readJson(path), SyntaxError);
    });
  }

  it("takes a FIFO in the place of a record for damage", async () => {
    const found = await readKept(at("fifo"), (json) => json);
    assert.deepEqual(
      [found.value, found.value === undefined && /regular file/.test(found.damage ?? "")],
      [undefined, true],
    );
  });

  it("leaves a file that is not there to its caller", async () => {
    await assert.rejects(readPlainFile(at("nothing"), 10), { code: "ENOENT" });
    assert.equal(await readJson(at("nothing")), undefined);
  });
});
