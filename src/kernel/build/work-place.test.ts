import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { hasReason } from "../../base/errors.js";
import { makeWorkPlace, removeWorkPlace, takeOut } from "./work-place.js";

let parent: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "kiln-work-"));
});
afterEach(() => rm(parent, { recursive: true, force: true }));

describe("a work place", () => {
  it("is closed to others, but for the way through", async () => {
    const place = await makeWorkPlace(parent);
    assert.equal((await stat(place.root)).mode & 0o777, 0o711);
    for (const path of [place.tree, place.home, place.temporary, place.output]) {
      assert.equal((await stat(path)).mode & 0o777, 0o700, path);
    }
    await removeWorkPlace(place);
    assert.deepEqual(await readdir(parent), []);
  });
});

describe("takeOut", () => {
  it("copies a file", async () => {
    await writeFile(join(parent, "a"), "bytes", { mode: 0o600 });
    assert.equal(await takeOut(join(parent, "a"), join(parent, "b"), 100), 5);
    assert.equal(await readFile(join(parent, "b"), "utf8"), "bytes");
    assert.equal((await stat(join(parent, "b"))).mode & 0o777, 0o644);
  });

  it("does not follow a link to what the build may not read", async () => {
    await writeFile(join(parent, "secret"), "secret");
    await symlink(join(parent, "secret"), join(parent, "a"));
    await assert.rejects(takeOut(join(parent, "a"), join(parent, "b"), 100));
    assert.deepEqual((await readdir(parent)).sort(), ["a", "secret"]);
  });

  it("refuses a directory and what is too large", async () => {
    await mkdir(join(parent, "d"));
    await writeFile(join(parent, "large"), "x".repeat(101));
    const failed = (error: unknown) => hasReason(error, "kernel-build-failed");
    await assert.rejects(takeOut(join(parent, "d"), join(parent, "b"), 100), failed);
    await assert.rejects(takeOut(join(parent, "large"), join(parent, "b"), 100), failed);
  });
});
