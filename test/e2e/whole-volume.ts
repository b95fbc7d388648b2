// That the file system of a volume is whole, whatever became of those who wrote to it.

import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { run, type TestKiln } from "./harness.js";

/** A journal is played as a guest's kernel would, on a copy; then nothing may be wrong. */
export async function assertWhole(kiln: TestKiln, volume: string): Promise<void> {
  const id = (await kiln.ok(["volume", "inspect", "-f", "{{.id}}", volume])).trim();
  const disk = join(kiln.root, "data/volumes", id, "disk.ext4");
  const copy = join(kiln.root, "copy.ext4");
  const copied = await run(["cp", "--sparse=always", disk, copy]);
  assert.equal(copied.code, 0, copied.stderr);
  const played = await run(["e2fsck", "-fy", "-E", "journal_only", copy]);
  assert.ok(played.code === 0 || played.code === 1, played.stdout + played.stderr);
  const checked = await run(["e2fsck", "-fn", copy]);
  assert.equal(checked.code, 0, checked.stdout + checked.stderr);
  await rm(copy);
}
