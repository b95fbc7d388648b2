// A base that goes while its VMs are there: made again of its image's layers where it can be.

import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { engineCase } from "../../test/fixtures/engine-case.js";
import type { KilnError } from "../base/errors.js";
import type { VmEntry } from "./vm/entry.js";

const kilnd = engineCase();

function make(name = "urn"): Promise<VmEntry> {
  return kilnd.create({ name });
}

describe("a base that is lost while kilnd runs", () => {
  const baseOf = (entry: VmEntry) => join(kilnd.world.root, "data/bases", entry.record.base);

  it("is built again of the image's layers, at `start` and at the next `create`", async () => {
    const entry = await make();
    for (const lose of [
      () => rm(baseOf(entry), { recursive: true }),
      () => rm(join(baseOf(entry), "base.ext4")),
      () => writeFile(join(baseOf(entry), "base.ext4"), "cut"),
    ]) {
      const built = kilnd.world.bases.length;
      await lose();
      await kilnd.engine.vms.start(entry.id);
      assert.equal(kilnd.world.bases.length, built + 1);
      await kilnd.engine.vms.stop(entry.id);
      await lose();
      const other = await make(`other-${built}`);
      assert.equal(kilnd.world.bases.length, built + 2);
      await kilnd.engine.vms.remove(other.id, false);
    }
  });

  it("is asked for by its image's name where the image is gone too", async () => {
    const entry = await make();
    await rm(baseOf(entry), { recursive: true });
    kilnd.world.imageIsGone = true;
    await assert.rejects(kilnd.engine.vms.start(entry.id), (error: KilnError) => {
      assert.equal(error.reason, "base-missing");
      assert.match(error.hint ?? "", /kiln pull app/);
      return true;
    });
    kilnd.world.imageIsGone = false;
    await kilnd.engine.vms.start(entry.id);
    assert.equal(entry.state, "running");
  });

  it("is used on where only its record is lost, and made anew for new VMs", async () => {
    const entry = await make();
    const before = kilnd.world.bases.length;
    await kilnd.engine.close();
    for (const name of ["base.json", "base.json.bak"]) await writeFile(join(baseOf(entry), name), "{");
    await kilnd.start();
    await kilnd.engine.vms.start(entry.id);
    assert.equal(kilnd.world.bases.length, before);
    await make("other");
    assert.equal(kilnd.world.bases.length, before + 1);
  });
});
