import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { sha256 } from "../../../test/fixtures/registry/tiny-image.js";
import { PullJournal } from "./journal.js";

const [A, B] = [sha256("a"), sha256("b")];
const HOUR = 3_600_000;

describe("PullJournal", () => {
  let directory: string;
  let journal: PullJournal;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "kiln-journal-"));
    journal = new PullJournal(directory);
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  const reopen = async (nowMs = Date.now()) => {
    const again = new PullJournal(directory);
    await again.open(HOUR, nowMs);
    return again;
  };
  const partial = (digest: string) => writeFile(join(directory, `${digest.slice(7)}.part`), "x");

  it("remembers over a restart what a pull was fetching", async () => {
    await journal.begin("x", [A]);
    const again = await reopen();
    assert.deepEqual([again.needs(A), again.needs(B)], [true, false]);
  });
  it("forgets a pull that has ended", async () => {
    await journal.begin("x", [A]);
    await journal.end("x");
    assert.equal(journal.needs(A), false);
    assert.deepEqual(await readdir(directory), []);
  });
  it("drops what is too old, or from a clock that was set back", async () => {
    await journal.begin("x", [A]);
    assert.equal((await reopen(Date.now() + 2 * HOUR)).needs(A), false);
    await journal.begin("x", [A]);
    assert.equal((await reopen(Date.now() - 2 * HOUR)).needs(A), false);
    assert.deepEqual(await readdir(directory), []);
  });
  it("drops what is damaged, and downloads that no pull has begun", async () => {
    await writeFile(join(directory, "0123.json"), "{torn");
    await writeFile(join(directory, "4567.json"), '{"source":"x","startedMs":1,"digests":["../x"]}');
    await partial(B);
    await reopen();
    assert.deepEqual(await readdir(directory), []);
  });
  it("keeps the download of a pull that may be resumed", async () => {
    await journal.begin("x", [A]);
    await partial(A);
    await reopen();
    assert.ok((await readdir(directory)).includes(`${A.slice(7)}.part`));
  });
  it("forgets all but the pulls that are running", async () => {
    await journal.begin("x", [A]);
    await journal.begin("y", [B]);
    await journal.forget((digest) => digest === A);
    assert.deepEqual([journal.needs(A), journal.needs(B)], [true, false]);
  });
});
