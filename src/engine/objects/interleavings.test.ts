// Everything that makes and removes objects, many at once in random orders, on a real directory: afterwards nothing
// stands on what is gone, nothing is kept that nobody needs, and the next kilnd sees the same. So does one that comes after
// a kill in the midst of it.

import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
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
import { type Killed, watchFailpoints } from "../../../test/fixtures/killed-world.js";
import { orderOf } from "../../../test/fixtures/network-case.js";
import type { OpenEngine } from "../../../test/fixtures/open-engine.js";
import { assertNetworks, assertVolumes, settledNames } from "../../../test/fixtures/whole-objects.js";
import { KilnError } from "../../base/errors.js";
import type { Failpoint } from "../../base/failpoint.js";
import { NO_MOUNT } from "../../base/mounts.js";
import type { ExecAsk } from "../index.js";
import { mountOf } from "../vm/mount-config.js";
import { attachmentOf } from "../vm/network-config.js";

const IMAGES = ["one", "two"];
const ROUNDS = 8;
const GIB = 1024 ** 3;

const image = fc.constantFrom(...IMAGES);
/** "": one without a name. */
const volume = fc.constantFrom("data", "logs", "");
const network = fc.constantFrom("web", "db");
/** Seldom: what is forced away may be missed. */
const force = fc.nat(4).map((number) => number === 0);
/** Of a VM. */
const index = fc.nat(3);
const command = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      ...{ do: fc.constant("create" as const), image, mounted: fc.option(volume) },
      network: fc.option(network, { freq: 1 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("start" as const), index }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("exec -d" as const), index }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("rm" as const), index, force: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("rmi" as const), image, force }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("pull" as const), image }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("kernel rm" as const), force }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("prune" as const), all: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("image prune" as const), all: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("volume create" as const), volume }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("volume grow" as const), volume, gib: fc.nat(9) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("volume rm" as const), volume }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("volume prune" as const), all: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("network create" as const), network }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("network rm" as const), network }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("network prune" as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("connect" as const), network, index }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("disconnect" as const), network, index }) },
);
type Command = typeof command extends fc.Arbitrary<infer C> ? C : never;
type NetworkCommand = Extract<Command, { readonly do: `network ${string}` | "connect" | "disconnect" }>;

/** Each list one client, who waits for each answer. */
const clients = fc.array(fc.array(command, { minLength: 1, maxLength: 5 }), { minLength: 3, maxLength: 5 });

/** Where kilnd may be killed: each is come to by `SCRIPT`. */
const POINTS: readonly Failpoint[] = [
  ...(["kept.first", "base.create.filled", "base.create.renamed", "base.remove.renamed"] as const),
  ...(["vm.create.begun", "vm.create.filled", "vm.create.renamed", "vm.remove.renamed"] as const),
  ...(["run.prepare", "run.launched", "run.setup", "run.up", "run.live", "end.settled"] as const),
  ...(["exec.create.filled", "exec.create.renamed", "exec.started", "exec.running"] as const),
  ...(["volume.create.begun", "volume.create.filled", "volume.create.renamed"] as const),
  ...(["volume.grown", "volume.remove.renamed"] as const),
  ...(["network.create.filled", "network.create.renamed", "network.remove.renamed"] as const),
];
const kill = fc.record({ point: fc.constantFrom(...POINTS), time: fc.integer({ min: 1, max: 3 }) });

/** Answers that are right when another was quicker. */
const HONEST = new Set([
  ...["vm-created", "vm-starting", "vm-running", "vm-stopping", "vm-exited", "vm-failed", "killed"],
  "image-in-use",
  "image-not-found",
  "kernel-in-use",
  "kernel-not-found",
  "being-removed",
  "vm-not-found",
  ...["volume-not-found", "volume-in-use", "volume-shrink", "volume-busy"],
  ...[
    "network-not-found",
    "network-in-use",
    "name-in-use",
    "already-connected",
    "not-connected",
    "no-hotplug",
  ],
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
    case "create": {
      const { mounted, network } = what;
      const mount = { ...NO_MOUNT, type: "volume", source: mounted ?? "", target: "/data" } as const;
      const mounts = mounted === null ? [] : [mountOf(mount)];
      const networks = network === null ? [] : [onNetwork(network)];
      return engine.make({ config: configOf({ image: what.image, mounts, networks }), pull: "missing" });
    }
    case "start":
      return engine.vms.start(idAt(engine, what.index));
    case "exec -d":
      for await (const { kind } of engine.vms.exec(idAt(engine, what.index), SLEEP, nothing())) {
        assert.equal(kind, "started");
      }
      return;
    case "rm":
      return engine.vms.remove(idAt(engine, what.index), what.force);
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
    case "volume create":
      return engine.volumes.create({ name: what.volume, sizeBytes: 0, labels: {} });
    case "volume grow":
      return engine.volumes.grow(what.volume, (60 + what.gib) * GIB);
    case "volume rm":
      return engine.volumes.remove(what.volume);
    case "volume prune":
      return engine.volumes.prune(what.all);
    default:
      return carryOutOnNetworks(engine, what);
  }
}

async function carryOutOnNetworks(engine: OpenEngine, what: NetworkCommand): Promise<unknown> {
  switch (what.do) {
    case "network create":
      return engine.networks.create(orderOf(what.network));
    case "network rm":
      return engine.networks.remove(what.network);
    case "network prune":
      return engine.networks.prune();
    case "connect":
      return engine.networks.connect(what.network, idAt(engine, what.index), onNetwork(what.network));
    case "disconnect":
      return engine.networks.disconnect(what.network, idAt(engine, what.index));
  }
}

/** As it is asked for. */
const onNetwork = (name: string) => attachmentOf({ name, ip: "", ip6: "", mac: "", aliases: [] });

const SLEEP: ExecAsk = {
  kind: "start",
  spec: {
    ...{ args: ["sleep"], env: [], user: "", workdir: "", tty: false, stdin: false, columns: 0, rows: 0 },
    ...{ detach: true, id: "" },
  },
};

async function* nothing(): AsyncGenerator<never> {
  // Its stdin is empty.
}

/** Of a VM that is there; where there is none, the name of none. */
const idAt = (engine: OpenEngine, index: number) => engine.entries(true)[index]?.id ?? "nobody";

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
  for (const entry of entries) {
    const programs = await settledNames(join(world.root, "data/vms", entry.id, "exec"));
    assert.deepEqual(
      programs.sort(),
      engine
        .programs(entry, true)
        .map(({ id }) => id)
        .sort(),
    );
  }
  const directories = await readdir(join(world.root, "data/vms"));
  assert.deepEqual(directories, entries.map(({ id }) => id).sort());
  await assertVolumes(world, engine);
  await assertNetworks(world, engine);
  assert.deepEqual((await engine.system.diskUsage()).leaks, []);
}

/** Without VMs everything can be removed: nothing is in use, and no lease was forgotten. */
async function assertFree(world: World, stores: FakeStores, engine: OpenEngine): Promise<void> {
  for (const entry of engine.entries(true)) await engine.vms.remove(entry.id, true);
  await engine.system.prune(true, new Map());
  for (const { id } of stores.kernels.values()) await engine.kernels.remove(id, false);
  await engine.volumes.prune(true);
  assert.deepEqual([await engine.volumes.list(), engine.networks.list()], [[], []]);
  assert.deepEqual([stores.images.size, stores.kernels.size], [0, 0]);
  assert.deepEqual(await readdir(join(world.root, "data/bases")), []);
}

/** What the orders of `lists` have forced away. */
function forcedBy(lists: Command[][]): Forced {
  const done = lists.flat();
  const taken = done.flatMap((what) => (what.do === "rmi" && what.force ? [imageOf(what.image).id] : []));
  return {
    images: new Set(taken),
    kernels: done.some((what) => what.do === "kernel rm" && what.force),
  };
}

/** The next kilnd finds all of it, and can remove all of it. */
async function assertNext(
  world: World,
  stores: FakeStores,
  forced: Forced,
  scheduler: fc.Scheduler,
): Promise<void> {
  const engine = createEngine(world, {}, stores.rooms);
  try {
    await engine.open();
    await scheduler.waitFor(engine.recovered);
    await assertWhole(world, stores, engine, forced);
    await scheduler.waitFor(assertFree(world, stores, engine));
  } finally {
    await engine.close();
  }
}

function storesOf(world: World, scheduler: fc.Scheduler, from?: FakeStores): FakeStores {
  const stores = createFakeStores(world, (what) => scheduler.schedule(Promise.resolve(), what));
  const images = from?.images.values() ?? IMAGES.map(imageOf);
  for (const found of images) stores.images.set(found.id, found);
  for (const found of from?.kernels.values() ?? [kernelOf("debian")]) stores.kernels.set(found.id, found);
  return stores;
}

/** @param isKill at which points kilnd is killed: what it leaves there is looked at when all is over. @returns those points */
async function play(
  lists: Command[][],
  scheduler: fc.Scheduler,
  isKill: (point: Failpoint) => boolean,
): Promise<Failpoint[]> {
  const world = await createWorld();
  world.behaviours = [{ features: ["workloads", "disk-serial", "mounts"] }];
  const stores = storesOf(world, scheduler);
  const killed: Killed[] = [];
  const engine = createEngine(world, {}, stores.rooms);
  try {
    await engine.open();
    using _ = watchFailpoints(world, stores, isKill, killed);
    const all = lists.map(async (list) => {
      for (const what of list) await run(engine, what);
    });
    await scheduler.waitFor(Promise.all(all));
    const forced = forcedBy(lists);
    await assertWhole(world, stores, engine, forced);
    await engine.close();
    _[Symbol.dispose]();
    for (const { point, ...left } of killed) {
      const found = storesOf(left.world, scheduler, left.stores);
      await assertNext(left.world, found, forced, scheduler).catch((error: unknown) => {
        throw new Error(`killed at ${point}`, { cause: error });
      });
    }
    await assertNext(world, stores, forced, scheduler);
    return killed.map(({ point }) => point);
  } finally {
    await engine.close();
    for (const each of [world, ...killed.map((left) => left.world)]) await destroyWorld(each);
  }
}

/** Comes to each of `POINTS`. */
const SCRIPT: Command[] = [
  { do: "network create", network: "web" },
  { do: "create", image: "one", mounted: null, network: "web" },
  { do: "start", index: 0 },
  { do: "exec -d", index: 0 },
  { do: "rm", index: 0, force: true },
  { do: "prune", all: true },
  { do: "volume create", volume: "data" },
  { do: "volume grow", volume: "data", gib: 5 },
  { do: "volume rm", volume: "data" },
  { do: "network create", network: "db" },
  { do: "network rm", network: "db" },
];

describe("whatever goes on at once", () => {
  it("leaves nothing that stands on what is gone, and nothing in use that nobody uses, also where it is cut", async (t) => {
    const seed = randomInt(2 ** 31);
    t.diagnostic(`seed ${seed}`);
    const property = fc.asyncProperty(
      clients,
      fc.scheduler(),
      kill,
      async (lists, scheduler, { point, time }) => {
        let left = time;
        await play(lists, scheduler, (here) => here === point && --left === 0);
      },
    );
    await fc.assert(property, { seed, numRuns: ROUNDS, endOnFailure: true });
  });

  it("is whole for the next kilnd after a kill at each point", async () => {
    const wanted = new Set(POINTS);
    const property = fc.asyncProperty(fc.scheduler(), async (scheduler) => {
      const points = await play([SCRIPT], scheduler, (here) => wanted.delete(here));
      assert.deepEqual([[...wanted], points.length], [[], POINTS.length]);
    });
    await fc.assert(property, { numRuns: 1 });
  });
});
