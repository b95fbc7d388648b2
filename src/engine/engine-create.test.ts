import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { engineCase } from "../../test/fixtures/engine-case.js";
import { configOf, createEngine, createFakeRooms } from "../../test/fixtures/fake-rooms.js";
import { hasReason } from "../base/errors.js";
import type { ProgressUpdate } from "../base/progress.js";
import { formatPlatform, parsePlatform } from "../image/index.js";
import type { Platform } from "../image/types.js";
import type { VmConfig } from "./vm/vm-config.js";

const kilnd = engineCase();

const create = (config: Partial<VmConfig> = {}, pull: "missing" | "always" | "never" = "missing") =>
  kilnd.engine.make({ config: configOf(config), pull });

const directories = () => readdir(join(kilnd.world.root, "data/vms"));

describe("create", () => {
  it("makes a VM with an id, a name of its own, and the image's words", async () => {
    const entry = await create();
    assert.match(entry.id, /^[0-9a-f]{64}$/);
    assert.match(entry.name, /^[a-z]+_[a-z]+$/);
    const { config, program } = entry.record;
    assert.equal(config.imageId, kilnd.world.image.id);
    assert.deepEqual(config.labels, { tier: "image" });
    assert.deepEqual([program.args, program.user, program.workdir], [["/app"], "app", "/srv"]);
    assert.equal(config.stopTimeoutMs, 10_000);
    assert.equal(entry.state, "created");
    assert.deepEqual(await directories(), [entry.id]);
  });

  it("keeps what really runs, the image's words and the user's together", async () => {
    const run = {
      ...kilnd.world.image.run,
      entrypoint: ["/entry"],
      cmd: ["serve", "-v"],
      stopSignal: "SIGQUIT",
    };
    kilnd.world.image = { ...kilnd.world.image, run };
    const kept = async (changes: Partial<VmConfig>) => {
      const { entrypoint, command, env, workdir, user, stopSignal } = (await create(changes)).record.config;
      return [entrypoint, command, env.includes("A=image"), workdir, user, stopSignal];
    };
    const rest = [true, "/srv", "app", "SIGQUIT"];
    assert.deepEqual(await kept({}), [["/entry"], ["serve", "-v"], ...rest]);
    assert.deepEqual(await kept({ command: ["sh"] }), [["/entry"], ["sh"], ...rest]);
    assert.deepEqual(await kept({ entrypoint: ["/own"], command: ["x"] }), [["/own"], ["x"], ...rest]);
    assert.deepEqual(await kept({ entrypoint: [""], entrypointSet: true, command: ["x"] }), [
      [],
      ["x"],
      ...rest,
    ]);
    const own = { env: ["A=own"], workdir: "/w", user: "me", stopSignal: "INT" };
    assert.deepEqual((await kept(own)).slice(2), [false, "/w", "me", "INT"]);
    kilnd.world.hasInit = true;
    assert.deepEqual((await kept({ init: "system", diskBytes: 1024 ** 3 })).slice(0, 2), [
      [],
      ["/sbin/init"],
    ]);
  });

  it("builds a base once for the same layers and disk size", async () => {
    await Promise.all([create(), create()]);
    await create();
    assert.equal(kilnd.world.bases.length, 1);
    await create({ diskBytes: 1024 ** 3 });
    assert.equal(kilnd.world.bases.length, 2);
  });

  it("tells how far it has come", async () => {
    const updates: ProgressUpdate[] = [];
    const onProgress = (update: ProgressUpdate) => void updates.push(update);
    await kilnd.engine.make({ config: configOf(), pull: "missing" }, { onProgress });
    assert.deepEqual(
      updates.map(({ id, status }) => `${id} ${status}`),
      ["base building", "layer extracting", "base done"],
    );
  });

  it("lets one of two creates of the same name win and leaves nothing of the other", async () => {
    const results = await Promise.allSettled([create({ name: "urn" }), create({ name: "urn" })]);
    assert.deepEqual(results.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
    assert.equal((await directories()).length, 1);
  });

  it("gives the name back when it fails", async () => {
    await assert.rejects(create({ name: "urn", image: "nothere" }));
    assert.equal((await create({ name: "urn" })).name, "urn");
  });

  it("boots an image without a command as a system where it has an init", async () => {
    kilnd.world.image = { ...kilnd.world.image, run: { ...kilnd.world.image.run, cmd: [] } };
    kilnd.world.hasInit = true;
    const { program, config } = (await create()).record;
    assert.deepEqual([program.mode, program.args], ["system", ["/sbin/init"]]);
    assert.equal(config.stopTimeoutMs, 90_000);
  });

  it("leaves nothing when it is cancelled while the base is built", async () => {
    const abort = new AbortController();
    const onProgress = () => abort.abort(new Error("changed my mind"));
    await assert.rejects(
      kilnd.engine.make({ config: configOf(), pull: "missing" }, { signal: abort.signal, onProgress }),
    );
    assert.deepEqual(await directories(), []);
    assert.deepEqual(
      (await readdir(join(kilnd.world.root, "data/bases"))).filter((name) => name.startsWith(".")),
      [],
    );
  });

  it("leaves nothing when it is cancelled at its very end", async () => {
    await create();
    const before = await directories();
    const abort = new AbortController();
    kilnd.world.onCow = () => abort.abort(new Error("changed my mind"));
    const request = { config: configOf({ name: "urn" }), pull: "missing" } as const;
    await assert.rejects(kilnd.engine.make(request, { signal: abort.signal }), /changed my mind/);
    assert.deepEqual(await directories(), before);
    assert.equal(kilnd.engine.entries(true).length, 1);
    assert.equal((await create({ name: "urn" })).name, "urn");
  });

  it("makes only what is ready where only that is wanted, and says nothing of progress", async () => {
    const updates: ProgressUpdate[] = [];
    const onProgress = (update: ProgressUpdate) => void updates.push(update);
    const whatIsReady = (config: Partial<VmConfig> = {}, pull: "missing" | "always" | "never" = "missing") =>
      kilnd.engine.make({ config: configOf(config), pull }, { readyOnly: true, onProgress });
    const refused = (error: unknown) => hasReason(error, "not-ready");
    await assert.rejects(whatIsReady({ image: "nothere" }), refused);
    await assert.rejects(whatIsReady({ name: "urn" }), refused, "its base is not there");
    assert.deepEqual(kilnd.world.bases, []);
    await create();
    await assert.rejects(whatIsReady({}, "always"), refused);
    assert.equal((await whatIsReady({ name: "urn" })).name, "urn");
    assert.deepEqual(updates, []);
  });
});

describe("platforms", () => {
  const wanted = async (changes: Partial<VmConfig>, cpuLevel?: number) => {
    const rooms = createFakeRooms(kilnd.world);
    const asked: unknown[] = [];
    const { choose } = rooms.vmms;
    const other = createEngine(
      { ...kilnd.world, root: join(kilnd.world.root, "other") },
      {},
      {
        ...rooms,
        images: {
          ...rooms.images,
          pull: async (_, { platform }) => {
            asked.push(platform);
            return { ...kilnd.world.image, pulledAs: "app", ...(platform === undefined ? {} : { platform }) };
          },
        },
        vmms: {
          ...rooms.vmms,
          choose: async (...words) => {
            const { driver, probe, why } = await choose(...words);
            const { cpuLevel: _level, ...plain } = probe;
            return { driver, why, probe: cpuLevel === undefined ? plain : { ...plain, cpuLevel } };
          },
        },
      },
    );
    await other.open();
    try {
      await other.make({ config: configOf(changes), pull: "always" });
      await other.images.pull(
        "app",
        changes.platform === undefined ? {} : { platform: parsePlatform(changes.platform) },
      );
    } finally {
      await other.close();
    }
    assert.deepEqual(asked[0], asked[1], "run and pull ask for the same");
    return formatPlatform(asked[0] as Platform);
  };

  it("are asked for as high as the VMM's guests run", async () => {
    assert.equal(await wanted({}, 3), "linux/amd64/v3");
    assert.equal(await wanted({}, 1), "linux/amd64");
    assert.equal(await wanted({}), "linux/amd64");
  });

  it("are taken as named", async () => {
    assert.equal(await wanted({ platform: "linux/amd64/v2" }, 3), "linux/amd64/v2");
    assert.equal(await wanted({ platform: "amd64" }, 3), "linux/amd64");
    assert.equal(await wanted({ platform: "linux/386" }, 3), "linux/386");
  });
});

describe("what a create refuses", () => {
  it("asks no registry under --pull=never", async () => {
    await assert.rejects(create({ image: "other" }, "never"), (error) => hasReason(error, "image-not-found"));
  });

  it("an image of another architecture", async () => {
    kilnd.world.image = { ...kilnd.world.image, platform: { os: "linux", architecture: "arm64" } };
    await assert.rejects(create(), (error) => hasReason(error, "foreign-platform"));
  });

  it("a platform above the level that the VMM's guests have", async () => {
    for (const platform of ["linux/amd64/v4", "linux/arm64/v8", "linux/arm/v7"])
      await assert.rejects(create({ platform }), (error) => hasReason(error, "foreign-platform"), platform);
    kilnd.world.image = {
      ...kilnd.world.image,
      platform: { os: "linux", architecture: "amd64", variant: "v4" },
    };
    await assert.rejects(create(), (error) => hasReason(error, "foreign-platform"));
  });

  it("an image above the level that was asked for", async () => {
    kilnd.world.image = {
      ...kilnd.world.image,
      platform: { os: "linux", architecture: "amd64", variant: "v3" },
    };
    assert.equal((await create()).record.config.platform, "linux/amd64/v3");
    await assert.rejects(create({ platform: "amd64" }), (error) => hasReason(error, "foreign-platform"));
    await assert.rejects(create({ platform: "linux/amd64/v2" }), (error) =>
      hasReason(error, "foreign-platform"),
    );
  });

  it("more CPUs than the VMM gives", async () => {
    await assert.rejects(create({ cpus: 99 }), (error) => hasReason(error, "too-many-cpus"));
  });

  it("everything while the disk is full, before it makes anything", async () => {
    kilnd.world.freeDisk = 1_000_000;
    await assert.rejects(create(), (error) => hasReason(error, "host-disk-full"));
    assert.equal(kilnd.world.bases.length, 0);
    assert.deepEqual(await directories(), []);
  });
});
