import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { checkLocks } from "./host-checks.js";

describe("checkLocks", () => {
  it("says where the kernel locks nothing, and leaves nothing behind", async () => {
    const root = await mkdtemp(join(tmpdir(), "kiln-doctor-"));
    try {
      const env = { KILN_ROOT: root };
      assert.equal((await checkLocks(env, 1000)).verdict, "ok");
      const { verdict, found, hint } = await checkLocks(env, 1000, join(root, "no-flock"));
      assert.equal(verdict, "warning");
      assert.match(found, /locks nothing on .*no-flock/);
      assert.match(hint ?? "", /util-linux/);
      assert.deepEqual(await readdir(root), []);
    } finally {
      await rm(root, { recursive: true, force: true });
    }
  });
});
