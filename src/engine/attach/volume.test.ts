import assert from "node:assert/strict";
import { open, stat } from "node:fs/promises";
import { beforeEach, describe, it } from "node:test";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import { type FakeVmm, IMAGE } from "../../../test/fixtures/fake-rooms.js";
import { hasReason, KilnError } from "../../base/errors.js";
import { type MountSpec, NO_MOUNT } from "../../base/mounts.js";
import { EVENT_FILTERS, matchesEvent, parseFilters } from "../common/filters.js";
import { mountOf } from "../vm/mount-config.js";

const kilnd = engineCase();
beforeEach(() => {
  kilnd.world.behaviours = [{ features: ["workloads", "disk-serial", "mounts"] }];
});

function volume(source: string, changes: Partial<MountSpec> = {}) {
  return mountOf({ ...NO_MOUNT, source, target: "/data", ...changes });
}

const disksOf = (vmm: FakeVmm) => vmm.spec.disks.map(({ path, readOnly }) => [path, readOnly] as const);
const mountsOf = (vmm: FakeVmm) => vmm.guest.boot?.mounts ?? [];
const fills = (vmm: FakeVmm) =>
  mountsOf(vmm).map(({ source }) => source.case === "disk" && source.value.fill);
const names = async () => (await kilnd.engine.volumes.list()).map(({ name }) => name);

describe("a volume of a VM", () => {
  it("is made where it is missing, is a disk behind those that boot, and is filled once", async () => {
    const { entry, vmm } = await kilnd.running({ mounts: [volume("db")] });
    const [made] = await kilnd.engine.volumes.list();
    assert.deepEqual([made?.name, made?.sizeBytes], ["db", 64 * 1024 ** 3]);
    const [disk, ...more] = disksOf(vmm).slice(2);
    assert.deepEqual([disk?.[0].includes(`/volumes/${made?.id}/`), disk?.[1], more], [true, false, []]);
    const [mount] = mountsOf(vmm);
    const serial = mount?.source.case === "disk" ? mount.source.value.serial : "";
    assert.deepEqual([mount?.target, mount?.subpath, serial], ["/data", "data", mount?.id]);
    assert.deepEqual(fills(vmm), [true]);
    await kilnd.engine.vms.stop(entry.id, { timeoutMs: 0 });
    await kilnd.engine.vms.start(entry.id);
    assert.deepEqual(fills(kilnd.world.vmms.at(-1) as FakeVmm), [false], "it is filled already");
  });

  it("is asked to be filled until it is, and never to be read alone, without a copy or at a part of it", async () => {
    const mounts = [
      volume("a", { target: "/a" }),
      volume("b", { target: "/b", noCopy: true }),
      volume("c", { target: "/c", readOnly: true }),
      volume("d", { target: "/d", subpath: "x/y" }),
    ];
    const { entry, vmm } = await kilnd.running({ mounts });
    assert.deepEqual(fills(vmm), [true, false, false, false]);
    assert.deepEqual(
      mountsOf(vmm).map(({ subpath }) => subpath),
      ["data", "data", "data", "data/x/y"],
    );
    assert.equal(
      entry.record.config.mounts.every(({ volumeId }) => volumeId.length === 64),
      true,
    );
  });

  it("is not a VM's twice where that writes to it, by whichever name, and then nothing is made", async () => {
    const other = (await kilnd.engine.volumes.create({ name: "there", sizeBytes: 0, labels: {} })).id;
    for (const [a, b] of [
      ["new", "new"],
      ["there", other],
    ] as const) {
      const mounts = [volume(a, { target: "/a" }), volume(b, { target: "/b", readOnly: true })];
      await assert.rejects(kilnd.create({ mounts }), (error) => hasReason(error, "volume-twice"));
    }
    assert.deepEqual(await names(), ["there"]);
    const read = [
      volume("there", { target: "/a", readOnly: true }),
      volume("there", { target: "/b", readOnly: true }),
    ];
    const { vmm } = await kilnd.running({ mounts: read });
    assert.equal(mountsOf(vmm).length, 2);
  });

  it("is told of in events: what is made, mounted and unmounted by whom, and removed", async () => {
    const { entry } = await kilnd.running({ name: "first", mounts: [volume("db", { readOnly: true })] });
    await kilnd.engine.vms.kill(entry.id);
    await kilnd.engine.vms.remove(entry.id, false);
    const id = await kilnd.engine.volumes.remove("db");
    const told: [string, string | undefined, string | undefined][] = [];
    const ofVm = parseFilters("events", ["vm=first", "type=volume"], EVENT_FILTERS);
    const seen: string[] = [];
    for await (const event of kilnd.engine.events.read({ after: 0n })) {
      const { type, action, attributes } = event;
      if (matchesEvent(event, ofVm)) seen.push(action);
      if (type === "volume" && event.id === id) told.push([action, attributes.vm, attributes.target]);
      if (type === "volume" && action === "destroy") break;
    }
    assert.deepEqual(told, [
      ["create", undefined, undefined],
      ["mount", "first", "/data"],
      ["unmount", "first", "/data"],
      ["destroy", undefined, undefined],
    ]);
    assert.deepEqual(seen, ["mount", "unmount"]);
  });

  it("is one writer's: the next is refused with the first one's name, also by the next kilnd", async () => {
    const { entry } = await kilnd.running({ name: "first", mounts: [volume("db")] });
    const second = await kilnd.create({ name: "second", mounts: [volume("db", { readOnly: true })] });
    const refused = (error: unknown) =>
      error instanceof KilnError && error.reason === "volume-busy" && /VM first/.test(error.message);
    await assert.rejects(kilnd.engine.vms.start(second.id), refused);
    await kilnd.next();
    await assert.rejects(kilnd.engine.vms.start(second.id), refused);
    await kilnd.engine.vms.kill(entry.id);
    await kilnd.engine.vms.start(second.id);
    const { vmm } = await kilnd.running({ mounts: [volume("db", { readOnly: true })] });
    assert.equal(disksOf(vmm)[2]?.[1], true, "two read it");
    await assert.rejects(kilnd.engine.vms.start(entry.id), (error) => hasReason(error, "volume-busy"));
  });

  it("that its writer has left unclean is one reader's alone, whose kernel repairs it", async () => {
    const { entry } = await kilnd.running({ mounts: [volume("db")] });
    const path = disksOf(kilnd.world.vmms.at(-1) as FakeVmm)[2]?.[0] ?? "";
    await kilnd.engine.vms.kill(entry.id);
    const flag = async (incompat: number) => {
      const file = await open(path, "r+");
      await file.write(Buffer.from([incompat]), 0, 1, 1024 + 0x60);
      await file.close();
    };
    await flag(4);
    const { entry: reader, vmm } = await kilnd.running({ mounts: [volume("db", { readOnly: true })] });
    assert.deepEqual([disksOf(vmm)[2]?.[1], mountsOf(vmm)[0]?.readOnly], [false, true]);
    const other = await kilnd.create({ mounts: [volume("db", { readOnly: true })] });
    await assert.rejects(kilnd.engine.vms.start(other.id), (error) => hasReason(error, "volume-busy"));
    await flag(0);
    await kilnd.next();
    await assert.rejects(kilnd.engine.vms.start(other.id), /has it writable/, "its disk still is");
    await kilnd.engine.vms.kill(reader.id);
    await kilnd.engine.vms.start(other.id);
    await kilnd.engine.vms.start(reader.id);
    await kilnd.next();
    assert.equal((await kilnd.engine.volumes.find("db")).writer, "", "both read it");
  });

  it("grows at the next mount where its disk has grown", async () => {
    const { entry } = await kilnd.running({ mounts: [volume("db")] });
    await kilnd.engine.vms.kill(entry.id);
    const [db] = await kilnd.engine.volumes.list();
    await kilnd.engine.volumes.grow(db?.id ?? "", 65 * 1024 ** 3);
    const grown = async () => {
      await kilnd.engine.vms.start(entry.id);
      return kilnd.world.vmms.at(-1)?.guest.mounts.calls;
    };
    assert.deepEqual(await grown(), ["grow /data"], "it is asked, and a guest that can't is no failure");
    assert.equal(
      (await stat(disksOf(kilnd.world.vmms.at(-1) as FakeVmm)[2]?.[0] ?? "")).size,
      65 * 1024 ** 3,
    );
  });

  it("grows at once while a VM writes to it", async () => {
    const { vmm } = await kilnd.running({ mounts: [volume("db")] });
    vmm.guest.mounts.grownBytes = BigInt(65 * 1024 ** 3);
    const grown = await kilnd.engine.volumes.grow("db", 65 * 1024 ** 3);
    assert.deepEqual([grown.filesystemBytes, vmm.grown.length], [65 * 1024 ** 3, 1]);
    assert.deepEqual(vmm.guest.mounts.calls, ["grow /data"]);
  });

  it("can't be removed while a VM has it, and can then; its id is a name too", async () => {
    const entry = await kilnd.create({ mounts: [volume("db")] });
    const [db] = await kilnd.engine.volumes.list();
    const again = await kilnd.create({ mounts: [volume(db?.id ?? "")] });
    assert.equal(again.record.config.mounts[0]?.volumeId, db?.id);
    await assert.rejects(kilnd.engine.volumes.remove("db"), (error) => hasReason(error, "volume-in-use"));
    for (const { id } of [entry, again]) await kilnd.engine.vms.remove(id, false, true);
    assert.deepEqual(await names(), ["db"], "it has a name, and stays");
    await kilnd.engine.volumes.remove("db");
    const lost = kilnd.create({ mounts: [volume(db?.id ?? "")] });
    await assert.rejects(lost, (error) => hasReason(error, "volume-not-found"));
  });

  it("without a name goes with a VM that removes itself, or that is removed with its volumes", async () => {
    const { entry } = await kilnd.running({
      autoRemove: true,
      mounts: [volume(""), volume("db", { target: "/db" })],
    });
    assert.equal((await names()).length, 2);
    await kilnd.engine.vms.kill(entry.id);
    await kilnd.engine.reached(entry, "removed");
    for (const volumes of [false, true]) {
      const one = await kilnd.create({ mounts: [volume("")] });
      await kilnd.engine.vms.remove(one.id, false, volumes);
    }
    assert.deepEqual(
      (await names()).filter((name) => name !== "db").length,
      1,
      "of the VM that was removed without",
    );
  });

  it("is brought to rest before its VM goes, be it killed or one that removes itself", async () => {
    const kept = await kilnd.running({ autoRemove: true, mounts: [volume("db")] });
    kept.vmm.guest.exit(0);
    await kilnd.engine.reached(kept.entry, "removed");
    assert.ok(kept.vmm.guest.calls.includes("ackExit"));
    const thrownAway = await kilnd.running({ autoRemove: true, mounts: [volume("")] });
    thrownAway.vmm.guest.exit(0);
    await kilnd.engine.reached(thrownAway.entry, "removed");
    assert.ok(!thrownAway.vmm.guest.calls.includes("ackExit"), "nobody waits for a disk that goes too");
    const killed = await kilnd.running({ mounts: [volume("db")] });
    await kilnd.engine.vms.kill(killed.entry.id);
    assert.ok(killed.vmm.guest.calls.includes("sync"));
  });

  it("is not left of a VM that could not be made", async () => {
    await kilnd.create({ mounts: [volume("old")] });
    const mounts = [volume("new"), volume("old", { target: "/o" }), volume("", { target: "/own" })];
    kilnd.world.onCow = () => {
      throw new Error("no cow");
    };
    await assert.rejects(kilnd.create({ mounts }), /no cow/);
    assert.deepEqual(await names(), ["old"]);
    const bad = [...mounts, volume("old", { target: "/s", sizeBytes: 1024 ** 3 })];
    await assert.rejects(kilnd.create({ mounts: bad }), (error) => hasReason(error, "volume-exists"));
    assert.deepEqual(await names(), ["old"]);
  });
});

describe("an image that is mounted", () => {
  it("is its base, read alone, which stays as long as the VM", async () => {
    const image = mountOf({ ...NO_MOUNT, type: "image", source: "app", target: "/app", subpath: "etc" });
    const { entry, vmm } = await kilnd.running({ mounts: [image], diskBytes: 1024 ** 3 });
    const [, , [path = "", readOnly] = []] = disksOf(vmm);
    const { base, imageId } = entry.record.config.mounts[0] ?? {};
    assert.deepEqual([path.includes(`/bases/${base}/`), readOnly, imageId], [true, true, IMAGE.id]);
    const [mount] = mountsOf(vmm);
    assert.deepEqual([mount?.readOnly, mount?.subpath, fills(vmm)], [true, "etc", [false]]);
  });

  it("that nobody has is refused, and no VM is made", async () => {
    const image = mountOf({ ...NO_MOUNT, type: "image", source: "nobodys", target: "/app" });
    await assert.rejects(kilnd.create({ mounts: [image] }), (error) => hasReason(error, "image-not-found"));
    assert.deepEqual(kilnd.engine.vms.list(true), []);
  });
});
