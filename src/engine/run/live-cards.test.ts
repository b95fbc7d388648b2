import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { ConnectError, Code as WireCode } from "@connectrpc/connect";
import { eventually } from "../../../test/fixtures/bridge-guests.js";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import type { FakeVmm } from "../../../test/fixtures/fake-rooms.js";
import { orderOf } from "../../../test/fixtures/network-case.js";
import { hasReason } from "../../base/errors.js";
import { attachmentOf } from "../vm/network-config.js";

const kilnd = engineCase();
const FEATURES = ["workloads", "disk-serial", "mounts", "names", "cards"];
beforeEach(async () => {
  kilnd.world.behaviours = [{ features: FEATURES }];
  for (const name of ["one", "two", "three"]) await kilnd.engine.networks.create(orderOf(name));
  await kilnd.engine.networks.create(orderOf("inner", { internal: true }));
});

const on = (name: string) => attachmentOf({ name, ip: "", ip6: "", mac: "", aliases: [] });
const reason = (word: string) => (error: unknown) => hasReason(error, word);
const networksOf = (key: string) => kilnd.engine.entry(key).record.config.networks;
const names = (key: string) => networksOf(key).map(({ name, index }) => [name, index ?? "-"].join(" "));
const connect = (network: string, vm = "a") => kilnd.engine.networks.connect(network, vm, on(""));
const disconnect = (network: string, vm = "a") => kilnd.engine.networks.disconnect(network, vm);
const macOf = (name: string) => networksOf("a").find((one) => one.name === name)?.mac ?? assert.fail();
const cards = ({ cards }: FakeVmm) =>
  [...cards].map(([id, { came, linked }]) => `${id} ${came}${linked ? "" : " cut"}`).sort();
/** What the networks were asked since. */
const asked = () => (kilnd.world.bridges?.calls ?? assert.fail()).splice(0);

describe("a VM that runs", () => {
  it("comes onto a network and leaves it, and its guest is told what has changed of its cards", async () => {
    const { vmm } = await kilnd.running({ name: "a", network: "none", networks: [on("inner")] });
    asked();
    await connect("two");
    assert.deepEqual(asked(), ["up two", "join two a"]);
    assert.deepEqual(cards(vmm), ["net0 launched", "net1 come"]);
    // It is the way out, as the first network has none, and so its resolver is asked first.
    const [inner, two] = networksOf("a").map(({ ip }) => ip.replace(/\d+$/, "1"));
    assert.deepEqual(vmm.guest.cards.splice(0), [
      `+ eth1 ${networksOf("a")[1]?.ip}/24 ${two}; dns ${two},${inner}`,
    ]);
    const mac = macOf("two");
    await assert.rejects(connect("two"), reason("already-connected"));
    await disconnect("two");
    assert.deepEqual(asked(), ["leave two a", "down two"]);
    assert.deepEqual([cards(vmm), names("a")], [["net0 launched"], ["inner -"]]);
    assert.deepEqual(vmm.guest.cards.splice(0), [`- ${mac}; dns ${inner}`]);
    await assert.rejects(disconnect("two"), reason("not-connected"));
  });

  it("keeps its other cards as they are when one in the middle goes, for the next kilnd and its next start", async () => {
    const { vmm } = await kilnd.running({
      ...{ name: "a", network: "none" },
      networks: [on("one"), on("two"), on("inner")],
    });
    const before = networksOf("a").map(({ ip }) => ip);
    await disconnect("two");
    assert.deepEqual(names("a"), ["one -", "inner 2"]);
    assert.deepEqual(cards(vmm), ["net0 launched", "net1 launched cut", "net2 launched"]);
    await kilnd.next();
    await connect("three");
    assert.deepEqual(names("a"), ["one -", "inner 2", "three 3"]);
    assert.match(vmm.guest.cards.at(-1) ?? "", /^\+ eth3 \S+; dns/);
    await connect("two");
    asked();
    await disconnect("one");
    // Guests may ask there by DHCP which card is the way out.
    assert.deepEqual(asked().sort(), ["down one", "join inner a", "join three a", "leave one a"]);
    // The way out is that of the next card.
    assert.match(vmm.guest.cards.at(-1) ?? "", /; \+ eth3 \S+ 10\.89\.\d+\.1; dns/);
    assert.deepEqual(names("a"), ["inner 2", "three 3", "two 4"]);
    await kilnd.engine.vms.kill("a");
    await kilnd.engine.vms.start("a");
    const { spec, guest } = kilnd.world.vmms.at(-1) ?? assert.fail();
    assert.deepEqual(
      spec.cards.map(({ id }) => id),
      ["net2", "net3", "net4"],
    );
    assert.equal(guest.boot?.network?.interfaces[0]?.addresses[0], `${before[2]}/24`);
  });

  it("gets one only where it was started on one, of which nothing need be left", async () => {
    const { vmm } = await kilnd.running({ name: "a", networks: [on("one")] });
    await disconnect("one");
    await connect("two");
    assert.deepEqual([names("a"), cards(vmm)], [["two -"], ["net0 come"]]);
    const plain = await kilnd.running({ name: "b" });
    asked();
    await assert.rejects(connect("two", "b"), reason("no-hotplug"));
    assert.deepEqual([networksOf("b"), asked(), plain.vmm.guest.cards], [[], [], []]);
  });

  it("is as it was where its VMM, its guest or its state does not allow it", async () => {
    const { vmm } = await kilnd.running({ name: "a", networks: [on("one")] });
    const isAsItWas = (what: string) =>
      assert.deepEqual([names("a"), cards(vmm)], [["one -"], ["net0 launched"]], what);
    vmm.cardRefusal = new Error("no descriptor");
    await assert.rejects(connect("two"), /no descriptor/);
    isAsItWas("refused by the VMM");
    vmm.cardRefusal = undefined;
    vmm.guest.cardError = new ConnectError("no card of that address", WireCode.NotFound);
    asked();
    await assert.rejects(connect("two"), /no card of that address/);
    isAsItWas("refused by the guest");
    assert.deepEqual(asked(), ["up two", "join two a", "leave two a", "down two"]);
    vmm.isFixed = true;
    await assert.rejects(connect("two"), reason("not-supported"));
    await assert.rejects(disconnect("one"), reason("not-supported"));
    vmm.isFixed = false;
    await kilnd.engine.vms.pause("a");
    await assert.rejects(connect("two"), reason("vm-paused"));
    await assert.rejects(disconnect("one"), reason("vm-paused"));
    await kilnd.engine.vms.unpause("a");
    isAsItWas("paused");
    // What a guest says keeps nobody on a network.
    await disconnect("one");
    assert.deepEqual([names("a"), cards(vmm)], [[], ["net0 launched cut"]]);
  });

  it("of an older kiln's agent is left alone", async () => {
    kilnd.world.behaviours = [{ features: ["workloads", "names"] }];
    await kilnd.running({ name: "a", networks: [on("one")] });
    await assert.rejects(connect("two"), reason("agent-too-old"));
    await assert.rejects(disconnect("one"), reason("agent-too-old"));
    assert.deepEqual(names("a"), ["one -"]);
  });

  it("has what its record says where a killed kilnd came half way, and its guest is told", async () => {
    const { vmm } = await kilnd.running({ name: "a", network: "none", networks: [on("one")] });
    await connect("two");
    const [one, two] = [macOf("one"), macOf("two")];
    const halves: [string, () => void, RegExp][] = [
      ["it came and nobody was told", () => undefined, /^\+ eth1 \S+; dns/],
      ["it did not come", () => vmm.cards.delete("net1"), new RegExp(`^- ${two} \\+ eth1 \\S+; dns`)],
      [
        "it was cut off",
        () => vmm.cards.set("net1", { came: "come", linked: false }),
        new RegExp(`^- ${two} \\+ eth1`),
      ],
      [
        "one of its start was",
        () => vmm.cards.set("net0", { came: "launched", linked: false }),
        new RegExp(`^- ${one} \\+ eth0`),
      ],
    ];
    for (const [what, half, told] of halves) {
      vmm.guest.cards.length = 0;
      half();
      await kilnd.next();
      await eventually(what, () => told.test(vmm.guest.cards.join(" ")));
      assert.deepEqual(
        [...vmm.cards.values()].filter(({ linked }) => !linked),
        [],
        what,
      );
    }
    vmm.guest.cards.length = 0;
    await disconnect("two");
    await disconnect("one");
    await kilnd.next();
    assert.deepEqual(cards(vmm), []);
  });
});
