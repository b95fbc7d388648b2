import assert from "node:assert/strict";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { engineCase } from "../../test/fixtures/engine-case.js";
import { configOf, createFakeRooms } from "../../test/fixtures/fake-rooms.js";
import { orderOf } from "../../test/fixtures/network-case.js";
import { holdInPlace, keepFiles } from "../../test/fixtures/patched-files.js";
import { hasReason } from "../base/errors.js";
import { type MountSpec, NO_MOUNT } from "../base/mounts.js";
import { mountOf } from "./vm/mount-config.js";
import { attachmentOf } from "./vm/network-config.js";
import type { VmConfig } from "./vm/vm-config.js";

const kilnd = engineCase();

const create = (config: Partial<VmConfig> = {}, pull: "missing" | "always" | "never" = "missing") =>
  kilnd.engine.make({ config: configOf(config), pull });

const directories = () => readdir(join(kilnd.world.root, "data/vms"));

describe("what belongs to VMs", () => {
  it("keeps its image unless forced, and its base in every case", async () => {
    const entry = await create();
    await assert.rejects(kilnd.engine.images.remove("app", false), (error) =>
      hasReason(error, "image-in-use"),
    );
    await kilnd.engine.images.remove("app", true);
    await kilnd.engine.vms.start(entry.id);
    assert.equal(entry.state, "running");
  });

  it("is counted, and pruned once it has ended", async () => {
    const entry = await create();
    const rows = (await kilnd.engine.system.diskUsage()).rows;
    assert.equal(rows.find(({ type }) => type === "vms")?.total, 1);
    assert.equal(rows.find(({ type }) => type === "bases")?.active, 1);
    assert.deepEqual((await kilnd.engine.system.diskUsage()).leaks, []);
    const pruned = await kilnd.engine.system.prune(true, new Map());
    assert.deepEqual([pruned.vms, pruned.bases.length], [[entry.id], 1]);
    assert.deepEqual(await directories(), []);
  });

  it("is not pruned while it runs", async () => {
    const entry = await create();
    await kilnd.engine.vms.start(entry.id);
    assert.deepEqual((await kilnd.engine.system.prune(true, new Map())).vms, []);
    assert.equal(entry.state, "running");
  });
});

describe("df", () => {
  it("names what a removal could not take away, which prune tries again, whatever else it can't remove", async () => {
    const entry = await create();
    const immutable = keepFiles((path) => path.includes(".removing-"));
    await assert.rejects(kilnd.engine.vms.remove(entry.id, false), /operation not permitted/);
    immutable[Symbol.dispose]();
    const left = join(kilnd.world.root, "data/vms", `.removing-${entry.id}`);
    assert.deepEqual((await kilnd.engine.system.diskUsage()).leaks, [left]);
    const [stuck, free] = [await create(), await create()];
    const held = holdInPlace((path) => path.endsWith(stuck.id));
    await assert.rejects(kilnd.engine.system.prune(false, new Map()), /read-only/);
    held[Symbol.dispose]();
    assert.deepEqual([stuck.removed, free.removed, await directories()], [false, true, [stuck.id]]);
    assert.deepEqual((await kilnd.engine.system.diskUsage()).leaks, []);
  });

  it("names what nobody owns", async () => {
    await mkdir(join(kilnd.world.root, "data/vms/stray"));
    await mkdir(join(kilnd.world.root, "run/v/0123456789abcdef"));
    assert.equal((await kilnd.engine.system.diskUsage()).leaks.length, 2);
  });
});

describe("lists", () => {
  it("of images obey patterns and refuse what can't match", () => {
    const digests = [`ghcr.io/me/web@sha256:${"c".repeat(64)}`];
    kilnd.world.image = { ...kilnd.world.image, names: ["docker.io/library/app:1.2"], digests };
    const count = (...filters: string[]) => kilnd.engine.images.list(filters).length;
    for (const fits of ["app", "app:1.*", "a??", "docker.io/library/app", "ghcr.io/*/web"])
      assert.equal(count(`reference=${fits}`), 1, fits);
    for (const other of ["ap", "*/app", "app:2*", "library/app"])
      assert.equal(count(`reference=${other}`), 0, other);
    assert.equal(count("reference=nothing", "reference=app"), 1);
    assert.throws(
      () => count("reference=["),
      (error) => hasReason(error, "bad-pattern"),
    );
    assert.equal(count("dangling=0"), 1);
    assert.throws(
      () => count("dangling=maybe"),
      (error) => hasReason(error, "bad-filter"),
    );
  });

  it("show what runs, or all, and obey filters", async () => {
    const one = await create({ name: "one", labels: { app: "web" } });
    await create({ name: "two" });
    await kilnd.engine.vms.start(one.id);
    const names = (all: boolean, ...filters: string[]) =>
      kilnd.engine.entries(all, filters).map((entry) => entry.name);
    assert.deepEqual(names(false), ["one"]);
    assert.deepEqual(names(true), ["one", "two"]);
    assert.deepEqual(names(false, "status=created"), ["two"]);
    for (const text of ["status=bogus", "status=", "status=Running"])
      assert.throws(
        () => names(false, text),
        (error) => hasReason(error, "bad-filter"),
        text,
      );
    assert.deepEqual(names(true, "label=app=web"), ["one"]);
    assert.deepEqual(names(true, "label=app"), ["one"]);
    assert.deepEqual(names(true, "name=w"), ["two"]);
    assert.deepEqual(names(true, "name=one", "name=two"), ["one", "two"]);
    assert.deepEqual(names(true, "ancestor=app"), ["one", "two"]);
    assert.throws(
      () => names(true, "colour=red"),
      (error) => hasReason(error, "bad-filter"),
    );
  });

  it("find VMs by what is mounted or where", async () => {
    const mount = (more: Partial<MountSpec>) => mountOf({ ...NO_MOUNT, ...more });
    const web = await create({ name: "web", mounts: [mount({ source: "data", target: "/data" })] });
    await create({ name: "own", mounts: [mount({ target: "/data" })] });
    await create({
      name: "dev",
      mounts: [mount({ type: "bind", source: kilnd.world.root, target: "/src" })],
    });
    const names = (...filters: string[]) => kilnd.engine.entries(true, filters).map((entry) => entry.name);
    const [{ volumeId } = { volumeId: "" }] = web.record.config.mounts;
    for (const key of ["data", volumeId, volumeId.slice(0, 12)])
      assert.deepEqual(names(`volume=${key}`), ["web"]);
    assert.deepEqual(names("volume=/data/"), ["web", "own"]);
    assert.deepEqual(names(`volume=${kilnd.world.root}/`), ["dev"]);
    assert.deepEqual(names("volume=/src", "volume=data"), ["web", "dev"]);
    for (const nobody of ["dat", volumeId.slice(0, 4), "/", ""])
      assert.deepEqual(names(`volume=${nobody}`), []);
  });

  it("find VMs by their networks", async () => {
    const on = (name: string) => attachmentOf({ name, ip: "", ip6: "", mac: "", aliases: [] });
    const { id } = await kilnd.engine.networks.create(orderOf("lan"));
    await create({ name: "web", network: "user", networks: [on("lan")] });
    await create({ name: "db", networks: [on("lan")] });
    await create({ name: "own" });
    const names = (...filters: string[]) => kilnd.engine.entries(true, filters).map((entry) => entry.name);
    for (const key of ["lan", id, id.slice(0, 12)]) assert.deepEqual(names(`network=${key}`), ["web", "db"]);
    assert.deepEqual(names("network=user"), ["web"]);
    assert.deepEqual(names("network=none"), ["own"]);
    for (const nobody of ["la", id.slice(0, 4), ""]) assert.deepEqual(names(`network=${nobody}`), []);
  });

  it("find VMs by a port of the host or of the VM, TCP's unless it says otherwise", async () => {
    const port = (hostPort: number, vmPort: number, protocol: "tcp" | "udp" = "tcp") => ({
      hostIp: "",
      hostPort,
      vmPort,
      protocol,
    });
    await kilnd.engine.vms.start((await create({ name: "web", publish: [port(8080, 80)] })).id);
    await kilnd.engine.vms.start((await create({ name: "dns", publish: [port(5353, 53, "udp")] })).id);
    const names = (...filters: string[]) => kilnd.engine.entries(false, filters).map((entry) => entry.name);
    assert.deepEqual(names("publish=8080"), ["web"]);
    assert.deepEqual(names("publish=8000-8100/tcp"), ["web"]);
    assert.deepEqual(names("publish=80"), []);
    assert.deepEqual(names("publish=5353"), []);
    assert.deepEqual(names("publish=5353/udp"), ["dns"]);
    assert.deepEqual(names("expose=80", "expose=53/udp"), ["web", "dns"]);
    const bad = ["publish=", "publish=http", "expose=80/sctp", "publish=1-2-3"];
    for (const text of [...bad, "publish=0", "expose=99999", "publish=9000-8000", "expose=1-65536/udp"]) {
      assert.throws(
        () => names(text),
        (error) => hasReason(error, "bad-filter"),
        text,
      );
    }
  });
});

describe("the fake rooms", () => {
  it("refuse what they can't do instead of pretending", () => {
    assert.throws(() => createFakeRooms(kilnd.world).kernels.importDebian({}), /fake/);
  });
});
