import assert from "node:assert/strict";
import { chmod, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { findProgram } from "../programs.js";
import { Confiner } from "./confiner.js";

describe("Confiner", () => {
  it("looks again a while after it found that no jail can be made", async (t) => {
    const installed = await findProgram("bwrap");
    if (installed === undefined) return t.skip("bubblewrap is not installed");
    const directory = await mkdtemp(join(tmpdir(), "kiln-confiner-"));
    try {
      await chmod(directory, 0o755);
      const bwrap = join(directory, "bwrap");
      let now = 0;
      const confiner = new Confiner({ bwrap }, () => now);
      const first = await confiner.confinement();
      assert.match(first.jail.why, /is not installed/);
      await symlink(installed, bwrap);
      assert.equal((await confiner.confinement()).jail.holds, false, "not at each start");
      now += 5_000;
      const second = await confiner.confinement();
      assert.doesNotMatch(second.jail.why, /is not installed/);
      if (!second.jail.holds) return;
      now += 3_600_000;
      assert.equal(await confiner.confinement(), second, "a jail that holds is kept");
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
