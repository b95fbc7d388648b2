import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Code, hasReason, KilnError } from "../../base/errors.js";
import type { DiskSpec } from "../types.js";
import type { QmpArguments } from "./client.js";
import { HotDisks, MAX_HOT_DISKS } from "./hot-disks.js";

/** A QEMU that keeps books. */
class FakeQmp {
  readonly asked: string[] = [];
  readonly devices = new Map<string, { readonly type: string; readonly lun: number }>();
  readonly nodes = new Set<string>();
  readonly sets = new Map<number, string>();
  refuses: string | undefined;
  /** How often a node is still in use. */
  busy = 0;
  /** What it does with a device that is to go. */
  onUnplug = (device: string): void => void this.devices.delete(device);

  async execute(command: string, args: QmpArguments = {}): Promise<unknown> {
    this.asked.push(command);
    if (command === this.refuses)
      throw new KilnError(Code.FailedPrecondition, `QEMU refused ${command}`, { reason: "qmp-error" });
    const missing = () => new KilnError(Code.FailedPrecondition, "not there", { reason: "qmp-error" });
    switch (command) {
      case "qom-list":
        return [...this.devices].map(([name, { type }]) => ({ name, type }));
      case "qom-get":
        return this.devices.get(String(args.path).split("/").at(-1) ?? "")?.lun;
      case "query-fdsets":
        return [...this.sets].map(([set, opaque]) => ({ "fdset-id": set, fds: [{ fd: 9, opaque }] }));
      case "blockdev-add":
        this.nodes.add(String(args["node-name"]));
        return {};
      case "blockdev-del":
        if (this.nodes.has(String(args["node-name"])) && this.busy-- > 0) throw missing();
        if (!this.nodes.delete(String(args["node-name"]))) throw missing();
        return {};
      case "query-named-block-nodes":
        return [...this.nodes].map((name) => ({ "node-name": name }));
      case "remove-fd":
        if (!this.sets.delete(Number(args["fdset-id"]))) throw missing();
        return {};
      case "device_add":
        this.devices.set(String(args.id), { type: "child<scsi-hd>", lun: Number(args.lun) });
        return {};
      case "device_del":
        this.onUnplug(String(args.id));
        return {};
      default:
        return {};
    }
  }

  async executeWith(_file: number, _program: string, command: string, args: QmpArguments = {}) {
    this.asked.push(command);
    const set = this.sets.size + 1;
    this.sets.set(set, String(args.opaque));
    return { "fdset-id": set, fd: 9 };
  }
}

describe("HotDisks", () => {
  let directory: string;
  let disk: DiskSpec;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "kiln-hot-"));
    disk = { id: "data", path: join(directory, "data"), readOnly: false };
    await writeFile(disk.path, "content");
  });
  after(() => rm(directory, { recursive: true }));

  function made() {
    const qmp = new FakeQmp();
    qmp.devices.set("scsi0", { type: "child<virtio-scsi-device>", lun: 0 });
    qmp.devices.set("dev-base", { type: "child<virtio-blk-device>", lun: 0 });
    const serials = new Map([["base", "base"]]);
    const disks = new HotDisks({ qmp: () => qmp, sendfd: "/sendfd", serials, goneMs: 20 });
    return { qmp, serials, disks };
  }

  it("attaches and detaches, and nothing stays", async () => {
    const { qmp, serials, disks } = made();
    await disks.attach(disk);
    assert.deepEqual([...qmp.nodes].sort(), ["disk-data", "file-data"]);
    assert.equal(qmp.devices.get("dev-data")?.lun, 64);
    assert.deepEqual([...serials.keys()], ["base", "data"]);
    qmp.onUnplug = (device) => {
      qmp.devices.delete(device);
      disks.take({ name: "DEVICE_DELETED", data: { device } });
    };
    await disks.detach("data");
    assert.deepEqual([qmp.nodes.size, qmp.sets.size, serials.has("data")], [0, 0, false]);
  });

  it("takes everything back where QEMU refuses the device", async () => {
    const { qmp, serials, disks } = made();
    qmp.refuses = "device_add";
    await assert.rejects(disks.attach(disk), (error) => hasReason(error, "qmp-error"));
    assert.deepEqual([qmp.nodes.size, qmp.sets.size, serials.has("data")], [0, 0, false]);
  });

  it("removes what a kilnd that was killed has left of that disk, and of no other", async () => {
    const { qmp, disks } = made();
    for (const node of ["disk-data", "file-data", "disk-other"]) qmp.nodes.add(node);
    qmp.sets.set(7, "disk-data").set(8, "disk-other");
    await disks.attach(disk);
    assert.ok(!qmp.sets.has(7) && qmp.sets.has(8) && qmp.nodes.has("disk-other"));
  });

  it("waits for a node that QEMU lets go of only a moment after its device", async () => {
    const { qmp, disks } = made();
    await disks.attach(disk);
    qmp.busy = 2;
    await disks.detach("data");
    assert.equal(qmp.nodes.size, 0);
    await disks.attach(disk);
    qmp.busy = Number.POSITIVE_INFINITY;
    await assert.rejects(disks.detach("data"), (error) => hasReason(error, "disk-in-use"));
  });

  it("says so of a device that does not go, and believes no event", async () => {
    const { qmp, serials, disks } = made();
    await disks.attach(disk);
    qmp.onUnplug = (device) => disks.take({ name: "DEVICE_DELETED", data: { device } });
    await assert.rejects(disks.detach("data"), (error) => hasReason(error, "disk-in-use"));
    assert.ok(serials.has("data") && qmp.nodes.has("disk-data"));
    // Its event was lost.
    qmp.onUnplug = (device) => void qmp.devices.delete(device);
    await disks.detach("data");
    assert.equal(serials.has("data"), false);
  });

  it("leaves what is no SCSI disk where it is, and takes no more than there are units for", async () => {
    const { qmp, disks } = made();
    await assert.rejects(disks.detach("base"), (error) => hasReason(error, "disk-is-fixed"));
    for (let index = 0; index < MAX_HOT_DISKS; index++)
      qmp.devices.set(`dev-d${index}`, { type: "child<scsi-hd>", lun: 64 + index });
    await assert.rejects(disks.attach(disk), (error) => hasReason(error, "too-many-disks"));
    qmp.devices.delete("dev-d3");
    await disks.attach(disk);
    assert.equal(qmp.devices.get("dev-data")?.lun, 67);
  });

  it("needs the controller, and what hands over files", async () => {
    const { qmp, disks } = made();
    qmp.devices.delete("scsi0");
    await assert.rejects(disks.attach(disk), (error) => hasReason(error, "no-hotplug"));
    const without = new HotDisks({ qmp: () => made().qmp, sendfd: undefined, serials: new Map() });
    await assert.rejects(without.attach(disk), (error) => hasReason(error, "no-hotplug"));
  });

  it("finds what is there by now, and believes the record of a QEMU that tells none", async () => {
    const { qmp, serials, disks } = made();
    qmp.devices.set("dev-data", { type: "child<scsi-hd>", lun: 64 });
    serials.set("gone", "gone");
    await disks.find();
    assert.deepEqual([...serials.keys()].sort(), ["base", "data"]);
    qmp.devices.clear();
    await disks.find();
    assert.deepEqual([...serials.keys()].sort(), ["base", "data"]);
  });
});
