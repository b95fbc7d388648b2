// Everything that makes and removes objects, many at once in random orders, on a real directory: afterwards nothing
// stands on what is gone, nothing is kept that nobody needs, and the next kilnd sees the same.

import assert from "node:assert/strict";
import { access, readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  configOf,
  createEngine,
  createWorld,
  destroyWorld,
  type World,
} from "../../../test/fixtures/fake-rooms.js";
import { createFakeStores, type FakeStores, imageOf, kernelOf } from "../../../test/fixtures/fake-stores.js";
import type { OpenEngine } from "../../../test/fixtures/open-engine.js";
import { KilnError } from "../../base/errors.js";

const IMAGES = ["one", "two"];
const ROUNDS = 8;

const image = fc.constantFrom(...IMAGES);
/** Seldom: what is forced away may be missed. */
const force = fc.nat(4).map((number) => number === 0);
const command = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("create" as const), image }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("rm" as const), index: fc.nat(3) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("rmi" as const), image, force }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("pull" as const), image }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("kernel rm" as const), force }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("prune" as const), all: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("image prune" as const), all: fc.boolean() }) },
);
type Command = typeof command extends fc.Arbitrary<infer C> ? C : never;

/** Each list one client, who waits for each answer. */
const clients = fc.array(fc.array(command, { minLength: 1, maxLength: 5 }), { minLength: 3, maxLength: 5 });

/** Answers that are right when another was quicker. */
const HONEST = new Set([
  "image-in-use",
  "image-not-found",
  "kernel-in-use",
  "kernel-not-found",
  "being-removed",
  "vm-not-found",
]);

async function run(engine: OpenEngine, what: Command): Promise<void> {
  try {
    await carryOut(engine, what);
  } catch (error) {
    const { reason, message } = KilnError.from(error);
    assert.ok(HONEST.has(reason), `${JSON.stringify(what)}: ${reason}: ${message}`);
  }
}

async function carryOut(engine: OpenEngine, what: Command): Promise<unknown> {
  switch (what.do) {
    case "create":
      return engine.make({ config: configOf({ image: what.image }), pull: "missing" });
    case "rm": {
      const entry = engine.entries(true)[what.index];
      return entry === undefined ? undefined : engine.vms.remove(entry.id, false);
    }
    case "rmi":
      return engine.images.remove(what.image, what.force);
    case "pull":
      return engine.images.pull(what.image, {});
    case "kernel rm":
      return engine.kernels.remove("debian", what.force);
    case "prune":
      return engine.system.prune(what.all, new Map());
    case "image prune":
      return engine.images.prune(what.all);
  }
}

interface Forced {
  /** Ids. */
  readonly images: ReadonlySet<string>;
  readonly kernels: boolean;
}

/** What VMs name is there, unless somebody has forced it away. */
async function assertWhole(
  world: World,
  stores: FakeStores,
  engine: OpenEngine,
  forced: Forced,
): Promise<void> {
  const entries = engine.entries(true);
  for (const { record, name } of entries) {
    await access(join(world.root, "data/bases", record.base, "base.ext4"));
    const { imageId } = record.config;
    assert.ok(forced.images.has(imageId) || stores.images.has(imageId), `the image of ${name}`);
    assert.ok(forced.kernels || stores.kernels.has(record.kernelId), `the kernel of ${name}`);
  }
  const directories = await readdir(join(world.root, "data/vms"));
  assert.deepEqual(directories, entries.map(({ id }) => id).sort());
  assert.deepEqual((await engine.system.diskUsage()).leaks, []);
}

/** Without VMs everything can be removed: nothing is in use, and no lease was forgotten. */
async function assertFree(world: World, stores: FakeStores, engine: OpenEngine): Promise<void> {
  for (const entry of engine.entries(true)) await engine.vms.remove(entry.id, false);
  await engine.system.prune(true, new Map());
  for (const { id } of stores.kernels.values()) await engine.kernels.remove(id, false);
  assert.deepEqual([stores.images.size, stores.kernels.size], [0, 0]);
  assert.deepEqual(await readdir(join(world.root, "data/bases")), []);
}

async function play(lists: Command[][], scheduler: fc.Scheduler): Promise<void> {
  const world = await createWorld();
  const stores = createFakeStores(world, (what) => scheduler.schedule(Promise.resolve(), what));
  const kernel = kernelOf("debian");
  stores.kernels.set(kernel.id, kernel);
  for (const found of IMAGES.map(imageOf)) stores.images.set(found.id, found);
  let engine = createEngine(world, {}, stores.rooms);
  try {
    await engine.open();
    const all = lists.map(async (list) => {
      for (const what of list) await run(engine, what);
    });
    await scheduler.waitFor(Promise.all(all));
    const done = lists.flat();
    const taken = done.flatMap((what) => (what.do === "rmi" && what.force ? [imageOf(what.image).id] : []));
    const forced = {
      images: new Set(taken),
      kernels: done.some((what) => what.do === "kernel rm" && what.force),
    };
    await assertWhole(world, stores, engine, forced);
    await engine.close();
    engine = createEngine(world, {}, stores.rooms);
    await engine.open();
    await assertWhole(world, stores, engine, forced);
    await scheduler.waitFor(assertFree(world, stores, engine));
  } finally {
    await engine.close();
    await destroyWorld(world);
  }
}

describe("whatever goes on at once", () => {
  it("leaves nothing that stands on what is gone, and nothing in use that nobody uses", async () => {
    await fc.assert(fc.asyncProperty(clients, fc.scheduler(), play), { numRuns: ROUNDS, endOnFailure: true });
  });
});
