// Removals beside what comes to need the thing meanwhile: each pair stopped at the point where it went wrong.

import assert from "node:assert/strict";
import { access } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, it } from "node:test";
import { worldCase } from "../../../test/fixtures/engine-case.js";
import { configOf } from "../../../test/fixtures/fake-rooms.js";
import { createFakeStores, type FakeStores, imageOf, kernelOf } from "../../../test/fixtures/fake-stores.js";
import { Code, hasReason, KilnError } from "../../base/errors.js";
import { type Deferred, deferred } from "../../base/runtime.js";
import { until } from "../common/notifier.js";
import type { VmEntry } from "../vm/entry.js";

/** Stops the change of that name until it is let go on. */
interface Stop {
  readonly reached: Deferred<void>;
  readonly goOn: Deferred<void>;
}

let stores: FakeStores;
let stops: Map<string, Stop>;
const kilnd = worldCase();
beforeEach(async () => {
  stops = new Map();
  stores = createFakeStores(kilnd.world, async (what) => {
    const stop = stops.get(what);
    stops.delete(what);
    stop?.reached.resolve();
    await stop?.goOn.promise;
  });
  await kilnd.open({}, stores.rooms);
  const kernel = kernelOf("debian");
  stores.kernels.set(kernel.id, kernel);
});

function stopAt(what: string): Stop {
  const stop = { reached: deferred<void>(), goOn: deferred<void>() };
  stops.set(what, stop);
  return stop;
}

const create = (image: string, name = ""): Promise<VmEntry> => kilnd.create({ image, name });

/** Somebody has found it, be it that it goes at this moment. */
async function lookedFor(key: string): Promise<void> {
  while (!stores.lookups.includes(key)) await new Promise((resolve) => setImmediate(resolve));
}

/** What was asked for is refused, with who is in the way. */
function refused(reason: string, holder: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof KilnError && hasReason(error, reason), String(error));
    assert.match(error.message, holder);
    return true;
  };
}

/** All that a VM stands on is there. */
async function assertStands({ record }: VmEntry): Promise<void> {
  assert.ok(stores.images.has(record.config.imageId), "its image");
  assert.ok(stores.kernels.has(record.kernelId), "its kernel");
  await access(join(kilnd.world.root, "data/bases", record.base, "base.ext4"));
}

describe("a VM in the making", () => {
  it("keeps image, base and kernel from every removal, which says who has them", async () => {
    const making = stopAt("make a cow");
    const creating = create("one", "web");
    await making.reached.promise;
    for (const force of [false, true]) {
      await assert.rejects(
        kilnd.engine.images.remove("one", force),
        refused("image-in-use", /VM web is being made/),
      );
      await assert.rejects(
        kilnd.engine.kernels.remove("debian", force),
        refused("kernel-in-use", /kernel debian: VM web is being made/),
      );
    }
    const pruned = await kilnd.engine.system.prune(true, new Map());
    assert.deepEqual([pruned.images, pruned.bases], [[], []]);
    making.goOn.resolve();
    const entry = await creating;
    await assertStands(entry);
    await assert.rejects(kilnd.engine.images.remove("one", false), refused("image-in-use", /VM web$/));
    await assert.rejects(kilnd.engine.kernels.remove("debian", false), refused("kernel-in-use", /VM web$/));
  });

  it("leaves nothing in use where it fails, be it before all was found", async () => {
    const making = stopAt("build a base");
    const abort = new AbortController();
    const request = { config: configOf({ image: "one" }), pull: "missing" } as const;
    const creating = kilnd.engine.make(request, { signal: abort.signal });
    await making.reached.promise;
    abort.abort(new Error("changed my mind"));
    making.goOn.resolve();
    await assert.rejects(creating, /changed my mind/);
    await kilnd.engine.kernels.remove("debian", false);
    await kilnd.engine.images.remove("one", false);
    assert.deepEqual([stores.images.size, stores.kernels.size], [0, 0]);
  });
});

describe("a VM that starts", () => {
  it("keeps its kernel from every removal until it is up, though a VMM has not opened it yet", async () => {
    const entry = await create("one", "web");
    const gate = deferred<void>();
    kilnd.world.launchGate = gate.promise;
    const starting = kilnd.engine.vms.start(entry.id);
    await until(entry.changed, () => entry.run?.stage === "spawn" || undefined);
    for (const force of [false, true]) {
      await assert.rejects(
        kilnd.engine.kernels.remove("debian", force),
        refused("kernel-in-use", force ? /kernel debian: VM web is starting$/ : /VM web$/),
      );
    }
    gate.resolve();
    await starting;
    await kilnd.engine.kernels.remove("debian", true);
    assert.deepEqual([stores.kernels.size, entry.state], [0, "running"], "a VM that runs has read its own");
  });

  it("lets go of it where its start fails, and is refused one that is being removed", async () => {
    const entry = await create("one", "web");
    kilnd.world.launchError = new KilnError(Code.Unavailable, "no VMM", { reason: "vmm-failed" });
    await assert.rejects(kilnd.engine.vms.start(entry.id), /no VMM/);
    const removing = stopAt("remove a kernel");
    const removal = kilnd.engine.kernels.remove("debian", true);
    await removing.reached.promise;
    await assert.rejects(kilnd.engine.vms.start(entry.id), refused("being-removed", /kernel debian/));
    removing.goOn.resolve();
    await removal;
    await assert.rejects(kilnd.engine.vms.start(entry.id), refused("kernel-missing", /no longer here/));
  });
});

describe("a removal that has begun", () => {
  it("of an image is waited for by who makes a VM of it, and the image comes anew", async () => {
    await kilnd.engine.images.pull("one", {});
    const removing = stopAt("remove one");
    const removal = kilnd.engine.images.remove("one", false);
    await removing.reached.promise;
    stores.lookups.length = 0;
    const creating = create("one");
    await lookedFor("one");
    removing.goOn.resolve();
    assert.deepEqual((await removal).deleted, [imageOf("one").id]);
    await assertStands(await creating);
  });

  it("of a kernel is waited for too", async () => {
    const removing = stopAt("remove a kernel");
    const removal = kilnd.engine.kernels.remove("debian", false);
    await removing.reached.promise;
    stores.lookups.length = 0;
    const creating = create("one");
    await lookedFor("default kernel");
    removing.goOn.resolve();
    await removal;
    await assertStands(await creating);
  });

  it("of an image by one of two names does not take it from a VM where the other name goes meanwhile", async () => {
    await create("one", "web");
    await kilnd.engine.images.tag("one", "two");
    const removing = stopAt("decide on two");
    const second = kilnd.engine.images.remove("two", false);
    const first = kilnd.engine.images.remove("one", false);
    await removing.reached.promise;
    removing.goOn.resolve();
    assert.deepEqual((await second).untagged, ["two"]);
    await assert.rejects(first, refused("image-in-use", /VM web/));
  });
});

describe("prune", () => {
  it("leaves an image of which a VM was made while the one before it went", async () => {
    for (const name of ["one", "two"]) await kilnd.engine.images.pull(name, {});
    const removing = stopAt(`remove ${imageOf("one").id}`);
    const pruning = kilnd.engine.images.prune(true);
    await removing.reached.promise;
    const entry = await create("two");
    removing.goOn.resolve();
    assert.deepEqual((await pruning).deleted, [imageOf("one").id]);
    await assertStands(entry);
  });

  it("leaves an image that has got a name meanwhile, and one that somebody else removes", async () => {
    for (const name of ["one", "two", "three"]) {
      await kilnd.engine.images.pull(name, {});
      const { id } = imageOf(name);
      stores.images.set(id, { ...imageOf(name), names: [] });
    }
    const removing = stopAt(`remove ${imageOf("one").id}`);
    const pruning = kilnd.engine.images.prune(false);
    await removing.reached.promise;
    const others = [
      kilnd.engine.images.tag(imageOf("two").id, "kept"),
      kilnd.engine.images.remove(imageOf("three").id, true),
    ];
    removing.goOn.resolve();
    await Promise.all(others);
    assert.deepEqual((await pruning).deleted, [imageOf("one").id]);
    assert.deepEqual([...stores.images.keys()], [imageOf("two").id]);
  });
});
