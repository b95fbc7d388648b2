import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { ConnectError, Code as WireCode } from "@connectrpc/connect";
import { eventually } from "../../../test/fixtures/bridge-guests.js";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import type { FakeVmm } from "../../../test/fixtures/fake-rooms.js";
import { Code, hasReason, KilnError } from "../../base/errors.js";
import { type MountSpec, NO_MOUNT } from "../../base/mounts.js";
import { mountOf } from "../vm/mount-config.js";

const kilnd = engineCase();
beforeEach(() => {
  kilnd.world.behaviours = [{ features: ["workloads", "disk-serial", "mounts"] }];
});

const volume = (source: string, changes: Partial<MountSpec> = {}) =>
  mountOf({ ...NO_MOUNT, source, target: "/data", ...changes });
const targets = (id: string) => kilnd.engine.entry(id).record.config.mounts.map(({ target }) => target);
/** Disks behind those that boot. */
const hot = (vmm: FakeVmm) => vmm.disks.size - 2;
const names = async () => (await kilnd.engine.volumes.list()).map(({ name }) => name);
const writers = async () => (await kilnd.engine.volumes.list()).map(({ writer }) => writer);

describe("a volume that is attached to a VM that runs", () => {
  it("is there at once, over restarts and for the next kilnd, and goes when it is detached", async () => {
    const { entry, vmm } = await kilnd.running({ name: "web" });
    const { mount, state } = await kilnd.engine.vms.attachVolume("web", volume("db", { target: "/data/" }));
    assert.deepEqual([mount.target, state, hot(vmm)], ["/data", "attached", 1]);
    assert.deepEqual(vmm.guest.mounts.calls, ["attach /data"]);
    assert.deepEqual(await writers(), ["web"]);
    await kilnd.next();
    assert.deepEqual(await writers(), ["web"]);
    await kilnd.engine.vms.detachVolume("web", "db");
    assert.deepEqual([vmm.guest.mounts.there.size, hot(vmm), targets(entry.id)], [0, 0, []]);
    assert.deepEqual(await writers(), [""]);
    await kilnd.engine.volumes.remove("db");
    await kilnd.engine.vms.attachVolume("web", volume("more"));
    const told: string[] = [];
    for await (const { type, action, attributes } of kilnd.engine.events.read({ after: 0n })) {
      if (type === "vm") told.push(`${action} ${attributes.volume} ${attributes.target}`);
      if (action === "volume-attach") break;
    }
    assert.deepEqual(told, ["volume-detach db /data", "volume-attach more /data"]);
    await kilnd.engine.vms.kill("web");
    await kilnd.engine.vms.start("web");
    assert.deepEqual(
      kilnd.world.vmms.at(-1)?.guest.boot?.mounts.map(({ target }) => target),
      ["/data"],
    );
  });

  it("has grown by then to a disk that grew while nobody had it", async () => {
    const { vmm } = await kilnd.running({ name: "web" });
    await kilnd.engine.volumes.create({ name: "db", sizeBytes: 2 ** 30, labels: {} });
    await kilnd.engine.volumes.grow("db", 2 ** 31);
    vmm.guest.mounts.grownBytes = BigInt(2 ** 31);
    await kilnd.engine.vms.attachVolume("web", volume("db"));
    assert.deepEqual(vmm.guest.mounts.calls, ["attach /data", "grow /data"]);
    assert.equal((await kilnd.engine.volumes.list())[0]?.filesystemBytes, 2 ** 31);
  });

  it("is not given a second time to the VM that writes to it, and says so", async () => {
    const { entry } = await kilnd.running({ mounts: [volume("db")] });
    const again = kilnd.engine.vms.attachVolume(entry.id, volume("db", { target: "/b", readOnly: true }));
    await assert.rejects(again, (error) => hasReason(error, "volume-twice"));
    assert.deepEqual(targets(entry.id), ["/data"]);
  });

  it("is kept for its next start where the VM does not run", async () => {
    const entry = await kilnd.create();
    const { state } = await kilnd.engine.vms.attachVolume(entry.id, volume("db"));
    assert.equal(state, "detached");
    await kilnd.engine.vms.start(entry.id);
    assert.equal(kilnd.world.vmms.at(-1)?.guest.boot?.mounts.length, 1);
  });

  it("is refused of a VM that is paused, as is to take it away, and has to wait for no guest", async () => {
    const { entry, vmm } = await kilnd.running();
    const attach = (name: string) => kilnd.engine.vms.attachVolume(entry.id, volume(name));
    await attach("db");
    await kilnd.engine.vms.pause(entry.id);
    const isPaused = (error: unknown) => hasReason(error, "vm-paused");
    await assert.rejects(attach("more"), isPaused);
    await assert.rejects(kilnd.engine.vms.detachVolume(entry.id, "db"), isPaused);
    assert.deepEqual([targets(entry.id), await names(), hot(vmm)], [["/data"], ["db"], 1]);
    await kilnd.engine.vms.unpause(entry.id);
    await kilnd.engine.vms.detachVolume(entry.id, "db");
    assert.equal(hot(vmm), 0);
  });

  it("leaves nothing where the VMM or the guest will not have it, and is as it was where they do not let go", async () => {
    const { entry, vmm } = await kilnd.running();
    const refused = () => kilnd.engine.vms.attachVolume(entry.id, volume("db"));
    const rm = await kilnd.running({ autoRemove: true });
    const noPlace = kilnd.engine.vms.attachVolume(rm.entry.id, volume("db"));
    await assert.rejects(noPlace, (error) => hasReason(error, "no-hotplug"));
    vmm.guest.mounts.error = new ConnectError("no such file system", WireCode.Internal);
    await assert.rejects(refused(), /no such file system/);
    assert.deepEqual([targets(entry.id), await names(), hot(vmm)], [[], [], 0]);
    await refused();
    const detach = () => kilnd.engine.vms.detachVolume(entry.id, "/data");
    vmm.guest.mounts.error = new ConnectError("sleep (42) uses it", WireCode.FailedPrecondition);
    await assert.rejects(
      detach(),
      (error) => hasReason(error, "mount-in-use") && /sleep/.test(String(error)),
    );
    for (const id of vmm.disks.keys()) vmm.busyDisks.add(id);
    await assert.rejects(detach(), (error) => hasReason(error, "disk-in-use"));
    vmm.busyDisks.clear();
    assert.deepEqual([vmm.guest.mounts.there.size, targets(entry.id), hot(vmm)], [1, ["/data"], 1]);
    await detach();
    assert.deepEqual(targets(entry.id), []);
  });

  it("goes also where a killed kilnd has taken half of it away, or never gave it", async () => {
    const { entry, vmm } = await kilnd.running();
    await kilnd.engine.vms.attachVolume(entry.id, volume("db"));
    vmm.guest.mounts.there.clear();
    for (const id of [...vmm.disks.keys()].slice(2)) vmm.disks.delete(id);
    await kilnd.next();
    assert.deepEqual(await writers(), [entry.name], "what is on record is held");
    await kilnd.engine.vms.detachVolume(entry.id, "db");
    assert.deepEqual([targets(entry.id), await writers()], [[], [""]]);
  });

  it("is there again where a killed kilnd has taken half of it away, or given half, and once only", async () => {
    const { entry, vmm } = await kilnd.running();
    const halves = [() => vmm.disks.delete([...vmm.disks.keys()].at(-1) ?? ""), () => undefined];
    await kilnd.engine.vms.attachVolume(entry.id, volume("db"));
    for (const half of halves) {
      vmm.guest.mounts.there.clear();
      vmm.guest.mounts.calls.length = 0;
      half();
      await kilnd.next();
      await eventually("it is there", () => vmm.guest.mounts.there.size === 1 && hot(vmm) === 1);
      assert.deepEqual(vmm.guest.mounts.calls, ["attach /data"]);
    }
    vmm.guest.mounts.calls.length = 0;
    await kilnd.next();
    await kilnd.engine.vms.detachVolume(entry.id, "db");
    assert.deepEqual(vmm.guest.mounts.calls, ["detach /data"], "what is there is left alone");
    assert.deepEqual([vmm.guest.mounts.there.size, hot(vmm), targets(entry.id)], [0, 0, []]);
  });

  it("is there again too where the VM's VMM answers the next kilnd late", async () => {
    const { entry, vmm } = await kilnd.running();
    await kilnd.engine.vms.attachVolume(entry.id, volume("db"));
    vmm.guest.mounts.there.clear();
    kilnd.world.reattachError = new KilnError(Code.DeadlineExceeded, "not yet", { reason: "qmp-silent" });
    await kilnd.engine.close();
    await kilnd.open({ takeover: { atOnce: 8, attemptMs: 60_000, pauses: { first: 1, longest: 4 } } });
    await kilnd.engine.recovered;
    assert.equal(kilnd.engine.entry(entry.id).status.reason, "vmm-unreachable");
    assert.equal(vmm.guest.mounts.there.size, 0);
    kilnd.world.reattachError = undefined;
    await eventually("it is there", () => vmm.guest.mounts.there.size === 1 && hot(vmm) === 1);
  });

  it("is away, with the reason, where a guest that was taken over can't be given it, and can be detached", async () => {
    const { entry, vmm } = await kilnd.running({ name: "web" });
    await kilnd.engine.vms.attachVolume(entry.id, volume("db"));
    vmm.guest.mounts.there.clear();
    vmm.guest.mounts.error = new ConnectError("no room for it", WireCode.ResourceExhausted);
    await kilnd.next();
    const shown = () => kilnd.engine.vms.find("web").mounts[0];
    await eventually("it is known", () => /no room for it/.test(shown()?.message ?? ""));
    assert.equal(shown()?.state, "away");
    await kilnd.engine.vms.detachVolume(entry.id, "db");
    assert.deepEqual([hot(vmm), targets(entry.id)], [0, []]);
  });

  it("is refused with the reason: busy elsewhere, twice at one path, not a volume, unknown", async () => {
    const { entry } = await kilnd.running({ mounts: [volume("db"), volume("db2", { target: "/a" })] });
    const other = await kilnd.running();
    const attach = (id: string, mount = volume("db")) => kilnd.engine.vms.attachVolume(id, mount);
    await assert.rejects(attach(other.entry.id), (error) => hasReason(error, "volume-busy"));
    assert.deepEqual(targets(other.entry.id), []);
    await assert.rejects(attach(entry.id, volume("new")), (error) => hasReason(error, "duplicate-mount"));
    const tmpfs = volume("", { type: "tmpfs", target: "/t" });
    await assert.rejects(attach(entry.id, tmpfs), (error) => hasReason(error, "mount-not-supported"));
    const nothing = kilnd.engine.vms.detachVolume(entry.id, "nothing");
    await assert.rejects(nothing, (error) => hasReason(error, "mount-not-found"));
    assert.deepEqual(await names(), ["db", "db2"]);
  });
});
