// A base that goes while its VMs are there: made again of its image's layers where it can be.

import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import {
  configOf,
  createWorld,
  destroyWorld,
  startEngine,
  type World,
} from "../../test/fixtures/fake-rooms.js";
import type { OpenEngine } from "../../test/fixtures/open-engine.js";
import type { KilnError } from "../base/errors.js";
import type { VmEntry } from "./vm/entry.js";

let world: World;
let engine: OpenEngine;
beforeEach(async () => {
  world = await createWorld();
  engine = await startEngine(world);
});
afterEach(async () => {
  await engine.close();
  await destroyWorld(world);
});

function make(name = "urn"): Promise<VmEntry> {
  return engine.make({ config: configOf({ name }), pull: "missing" });
}

describe("a base that is lost while kilnd runs", () => {
  const baseOf = (entry: VmEntry) => join(world.root, "data/bases", entry.record.base);

  it("is built again of the image's layers, at `start` and at the next `create`", async () => {
    const entry = await make();
    for (const lose of [
      () => rm(baseOf(entry), { recursive: true }),
      () => rm(join(baseOf(entry), "base.ext4")),
      () => writeFile(join(baseOf(entry), "base.ext4"), "cut"),
    ]) {
      const built = world.bases.length;
      await lose();
      await engine.vms.start(entry.id);
      assert.equal(world.bases.length, built + 1);
      await engine.vms.stop(entry.id);
      await lose();
      const other = await make(`other-${built}`);
      assert.equal(world.bases.length, built + 2);
      await engine.vms.remove(other.id, false);
    }
  });

  it("is asked for by its image's name where the image is gone too", async () => {
    const entry = await make();
    await rm(baseOf(entry), { recursive: true });
    world.imageIsGone = true;
    await assert.rejects(engine.vms.start(entry.id), (error: KilnError) => {
      assert.equal(error.reason, "base-missing");
      assert.match(error.hint ?? "", /kiln pull app/);
      return true;
    });
    world.imageIsGone = false;
    await engine.vms.start(entry.id);
    assert.equal(entry.state, "running");
  });

  it("is used on where only its record is lost, and made anew for new VMs", async () => {
    const entry = await make();
    const before = world.bases.length;
    await engine.close();
    for (const name of ["base.json", "base.json.bak"]) await writeFile(join(baseOf(entry), name), "{");
    engine = await startEngine(world);
    await engine.vms.start(entry.id);
    assert.equal(world.bases.length, before);
    await make("other");
    assert.equal(world.bases.length, before + 1);
  });
});
