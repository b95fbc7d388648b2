import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { removeAbandoned, scratchPath } from "./scratch.js";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "kiln-scratch-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

describe("things in the making", () => {
  it("stay while the process that makes them lives, and go when it has ended", async () => {
    const mine = await scratchPath(directory, "build");
    await mkdir(mine);
    const dead = basename(mine).replace(/-[0-9]+-(?=[0-9a-f]{12}$)/, "-1-");
    await mkdir(join(directory, dead, "deep"), { recursive: true });
    await removeAbandoned(directory);
    assert.deepEqual(await readdir(directory), [basename(mine)]);
  });

  it("are the only things that are cleared away", async () => {
    for (const name of ["a".repeat(64), "linux-source-6.1_6.1.192-2_all.deb", "build.part-x"]) {
      await mkdir(join(directory, name));
    }
    await removeAbandoned(directory);
    assert.equal((await readdir(directory)).length, 3);
  });

  it("need no directory to be cleared away in", () => removeAbandoned(join(directory, "none")));
});
