import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Code, hasReason, KilnError } from "../../base/errors.js";
import type { CardSpec } from "../types.js";
import type { QmpArguments } from "./client.js";
import { MAX_HOT_CARDS, QemuHotCards } from "./hot-cards.js";

/** A QEMU that keeps books. */
class FakeQmp {
  readonly devices = new Map<string, string>();
  readonly backends = new Set<string>();
  readonly descriptors = new Set<string>();
  /** Words that made a tap. */
  made: readonly string[] = [];
  refuses: string | undefined;
  onUnplug = (device: string): void => void this.devices.delete(device);

  async execute(command: string, args: QmpArguments = {}): Promise<unknown> {
    const missing = new KilnError(Code.FailedPrecondition, "not there", { reason: "qmp-error" });
    const must = (isThere: boolean) => {
      if (!isThere) throw missing;
      return {};
    };
    if (command === this.refuses) throw missing;
    switch (command) {
      case "qom-list":
        return [...this.devices.keys()].map((name) => ({ name, type: "child" }));
      case "set_link":
        return must(this.backends.has(String(args.name)));
      case "closefd":
        return must(this.descriptors.delete(String(args.fdname)));
      case "netdev_add":
        must(this.descriptors.delete(String(args.fd)) && !this.backends.has(String(args.id)));
        this.backends.add(String(args.id));
        return {};
      case "netdev_del":
        return must(this.backends.delete(String(args.id)));
      case "device_add":
        this.devices.set(String(args.id), String(args.bus));
        return {};
      case "device_del":
        must(this.devices.has(String(args.id)));
        this.onUnplug(String(args.id));
        return {};
      default:
        throw new Error(command);
    }
  }

  async executeWithTap(
    around: (argv: readonly string[], fd: number) => readonly string[],
    program: string,
    command: string,
    args: QmpArguments = {},
  ): Promise<unknown> {
    assert.equal(command, "getfd");
    this.made = around([program, "1"], 4);
    // A tap has one name in its place: a second one of it is refused.
    if (this.descriptors.has(String(args.fdname)) || this.backends.has(String(args.fdname)))
      throw new KilnError(Code.Unavailable, "make a tap: File exists", { reason: "network-failed" });
    this.descriptors.add(String(args.fdname));
    return {};
  }
}

const card = (id: string): CardSpec => ({
  ...{ id, mac: "02:00:00:00:00:07" },
  backend: { kind: "descriptor", around: (argv, fd) => ["tap", String(fd), "--", ...argv] },
});

function made(slots = MAX_HOT_CARDS) {
  const qmp = new FakeQmp();
  for (let index = 0; index < slots; index++) qmp.devices.set(`slot${index}`, "");
  qmp.backends.add("net0");
  const cards = new QemuHotCards({ qmp: () => qmp, sendfd: "/sendfd", goneMs: 20 });
  return { qmp, cards, hasNothing: () => [...qmp.devices.keys()].every((name) => name.startsWith("slot")) };
}

describe("QemuHotCards", () => {
  it("gives a card and takes it, and nothing stays", async () => {
    const { qmp, cards, hasNothing } = made();
    await cards.attach(card("net1"));
    assert.deepEqual(qmp.made, ["tap", "4", "--", "/sendfd", "1"]);
    assert.equal(qmp.devices.get("card-net1-0"), "slot0");
    assert.deepEqual([await cards.find("net0"), await cards.find("net1")], ["launched", "come"]);
    await cards.attach(card("net1"));
    assert.equal(qmp.devices.size, MAX_HOT_CARDS + 1, "once");
    qmp.onUnplug = (device) => {
      qmp.devices.delete(device);
      cards.take({ name: "DEVICE_DELETED", data: { device } });
    };
    await cards.cut("net1");
    assert.equal(await cards.find("net1"), undefined);
    assert.ok(await cards.remove("net1"));
    assert.deepEqual([[...qmp.backends], qmp.descriptors.size, hasNothing()], [["net0"], 0, true]);
    for (const id of ["net0", "net9"]) {
      await cards.cut(id);
      assert.ok(await cards.remove(id));
    }
    assert.equal(qmp.backends.size, 0, "one of the launch is cut off too");
  });

  it("takes everything back where QEMU refuses it", async () => {
    for (const refused of ["netdev_add", "device_add"]) {
      const { qmp, cards, hasNothing } = made();
      qmp.refuses = refused;
      await assert.rejects(cards.attach(card("net1")), (error) => hasReason(error, "qmp-error"));
      assert.deepEqual([[...qmp.backends], qmp.descriptors.size, hasNothing()], [["net0"], 0, true], refused);
    }
  });

  it("begins anew where a kilnd was killed in the middle", async () => {
    for (const left of ["descriptor", "backend", "device"]) {
      const { qmp, cards } = made();
      if (left === "descriptor") qmp.descriptors.add("hot-net1");
      if (left === "backend") qmp.backends.add("hot-net1");
      if (left === "device") qmp.devices.set("card-net1-0", "slot0");
      assert.equal(await cards.find("net1"), undefined, left);
      await cards.attach(card("net1"));
      assert.equal(await cards.find("net1"), "come", left);
    }
  });

  it("cuts off a guest that does not let go, whose slot is taken then", async () => {
    const { qmp, cards } = made(2);
    await cards.attach(card("net1"));
    qmp.onUnplug = () => undefined;
    await cards.cut("net1");
    assert.equal(await cards.remove("net1"), false);
    assert.equal(await cards.find("net1"), undefined);
    await cards.attach(card("net1"));
    assert.equal(qmp.devices.get("card-net1-1"), "slot1");
    await assert.rejects(cards.attach(card("net2")), (error) => hasReason(error, "too-many-cards"));
    assert.ok(!qmp.backends.has("hot-net2"));
  });

  it("needs slots, and what hands over taps", async () => {
    const { cards } = made(0);
    await assert.rejects(cards.attach(card("net1")), (error) => hasReason(error, "no-hotplug"));
    const { qmp } = made();
    const without = new QemuHotCards({ qmp: () => qmp, sendfd: undefined });
    await assert.rejects(without.attach(card("net1")), (error) => hasReason(error, "no-hotplug"));
  });
});
