import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { eventually } from "../../../test/fixtures/bridge-guests.js";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import { orderOf } from "../../../test/fixtures/network-case.js";
import { Code, hasReason, KilnError } from "../../base/errors.js";
import type { NetworkAsk } from "../../base/network-flag.js";
import { attachmentOf } from "../vm/network-config.js";

const kilnd = engineCase();
const on = (name: string, changes: Partial<NetworkAsk> = {}) =>
  attachmentOf({ ...{ name, ip: "", ip6: "", mac: "", aliases: [] }, ...changes });
const cni = () => kilnd.world.cni ?? assert.fail();
const calls = () => cni().calls.splice(0);
const reason = (word: string) => (error: unknown) => hasReason(error, word);

async function started(name: string, networks: readonly string[], network: "user" | "none" = "none") {
  const entry = await kilnd.create({ name, network, networks: networks.map((one) => on(one)) });
  await kilnd.engine.vms.start(entry.id);
  const vmm = kilnd.world.vmms.at(-1) ?? assert.fail();
  return { entry, vmm, told: vmm.guest?.boot ?? assert.fail() };
}

describe("a VM's cards on CNI networks", () => {
  it("are added before its VMM, and its guest is told what the plugins gave", async () => {
    const { entry, vmm, told } = await started("a", ["cni:lan"]);
    assert.deepEqual(calls(), ["sweep 0", "join lan a"]);
    assert.deepEqual(
      vmm.spec.cards.map(({ id, mac, backend }) => [id, mac, backend.kind]),
      [["net0", "02:00:00:00:0c:01", "descriptor"]],
    );
    const [card] = told.network?.interfaces ?? [];
    assert.deepEqual(
      [card?.name, card?.mac, card?.mtu, card?.addresses, card?.gateway4, card?.gateway6],
      ["eth0", "02:00:00:00:0c:01", 1450, ["10.1.0.5/24", "fd01::5/64"], "10.1.0.1", "fd01::1"],
    );
    assert.deepEqual([told.dns?.servers, told.dns?.search], [["10.1.0.53"], ["lan.test"]]);
    assert.equal(entry.status.ipAddress, "10.1.0.5");
    const [shown] = kilnd.engine.vms.find("a").networks;
    assert.deepEqual(
      [shown?.attachment.ip, shown?.attachment.mac, shown?.gateway, shown?.prefix, shown?.prefix6],
      ["10.1.0.5", "02:00:00:00:0c:01", "10.1.0.1", 24, 64],
    );
    await kilnd.engine.vms.stop("a");
    assert.deepEqual(calls(), ["leave a"]);
    assert.equal(kilnd.engine.vms.find("a").networks[0]?.attachment.ip, "");
    await kilnd.engine.vms.start("a");
    assert.deepEqual(cni().wishes, [[], ["10.1.0.5", "fd01::5"]], "what it had it asks for again");
  });

  it("stand in the order of all its networks, and leave the way out to kiln's own", async () => {
    await kilnd.engine.networks.create(orderOf("web"));
    const { vmm, told } = await started("a", ["cni:lan", "web"], "user");
    assert.deepEqual(vmm.spec.cards.map(({ id }) => id).sort(), ["eth0", "net0", "net1"]);
    const gateways = told.network?.interfaces.map(({ name, gateway4 }) => [name, gateway4 !== ""]);
    assert.deepEqual(Object.fromEntries(gateways ?? []), { eth0: true, eth1: false, eth2: false });
    assert.deepEqual(told.dns?.servers[0], "10.89.0.1", "which knows names of VMs");
  });

  it("are all that the VM has while it runs", async () => {
    await kilnd.engine.networks.create(orderOf("web"));
    await kilnd.engine.networks.create(orderOf("db"));
    const { entry } = await started("a", ["cni:lan", "web"]);
    const on = attachmentOf({ name: "", ip: "", ip6: "", mac: "", aliases: [] });
    await assert.rejects(kilnd.engine.networks.connect("db", "a", on), reason("not-supported"));
    await assert.rejects(kilnd.engine.networks.disconnect("web", "a"), reason("not-supported"));
    assert.equal(entry.record.config.networks.length, 2);
  });

  it("are found again by the next kilnd", async () => {
    await started("a", ["cni:lan"]);
    calls();
    await kilnd.next();
    assert.deepEqual(calls(), ["sweep 1", "adopt lan a"]);
    assert.equal(kilnd.engine.vms.find("a").networks[0]?.attachment.ip6, "fd01::5");
    await kilnd.engine.vms.stop("a");
    assert.deepEqual(calls(), ["leave a"]);
  });

  it("are given back of a VM that ends before it could be taken over", async () => {
    await kilnd.engine.networks.create(orderOf("web"));
    await started("a", ["cni:lan", "web"]);
    kilnd.world.reattachError = new KilnError(Code.Unavailable, "no answer", { reason: "no-answer" });
    await kilnd.next();
    calls();
    const bridges = kilnd.world.bridges?.calls ?? assert.fail();
    bridges.length = 0;
    await kilnd.engine.vms.remove("a", true);
    await eventually(
      "it is on neither",
      () => bridges.includes("down web") && cni().calls.includes("leave a"),
    );
    assert.deepEqual(bridges, ["leave web a", "down web"]);
  });

  it("are refused with the plugin's words, and leave nothing", async () => {
    const entry = await kilnd
      .create({ name: "a", networks: [on("cni:lan"), on("cni:lan")] })
      .catch((error: unknown) => error);
    assert.ok(hasReason(entry, "network-twice"));
    await kilnd.create({ name: "a", networks: [on("cni:lan")] });
    const words = "plugin bridge failed to ADD: no room";
    cni().refusal = new KilnError(Code.FailedPrecondition, words, { reason: "cni-failed" });
    await assert.rejects(
      kilnd.engine.vms.start("a"),
      (error: unknown) => hasReason(error, "cni-failed") && (error as Error).message.includes(words),
    );
    assert.equal(kilnd.world.vmms.length, 0);
  });

  const BAD: readonly [what: Parameters<typeof kilnd.create>[0], why: string][] = [
    [{ networks: [on("cni:nowhere")] }, "cni-network-not-found"],
    [{ networks: [on("cni:a/b")] }, "bad-network"],
  ];
  it("are refused for what can't be kept", async () => {
    for (const [config, why] of BAD) await assert.rejects(kilnd.create(config), reason(why), why);
    const { networks } = kilnd.engine;
    await kilnd.create({ name: "a" });
    await assert.rejects(networks.connect("cni:lan", "a", on("cni:lan")), reason("cni-network"));
    await assert.rejects(networks.disconnect("cni:lan", "a"), reason("cni-network"));
    kilnd.world.cni = undefined;
    await kilnd.next();
    await assert.rejects(kilnd.create({ networks: [on("cni:lan")] }), reason("networks-not-ready"));
  });

  it("keep a policy where this host can, and count what they refuse", async () => {
    await started("a", ["cni:lan"]);
    cni().denied = 3;
    assert.equal(await kilnd.engine.vms.denied("a"), 3);
    await kilnd.create({ name: "b", networks: [on("cni:lan")], egress: "none" });
    cni().isKept = false;
    const refused = kilnd.create({ networks: [on("cni:lan")], egress: "none" });
    await assert.rejects(refused, reason("egress-not-ready"));
    await kilnd.create({ name: "c", networks: [on("cni:lan")] });
  });

  it("are listed with who has them, and what is wrong with them", async () => {
    const { networks } = kilnd.engine;
    await started("a", ["cni:lan"]);
    const all = await networks.listAll(["driver=cni"]);
    assert.deepEqual(
      all.map(({ id, name, driver, options }) => [id, name, driver, options.plugins ?? options.flaw]),
      [
        ["", "cni:lan", "cni", "bridge,portmap"],
        ["", "cni:/etc/cni/net.d/99-bad.conflist", "cni", "it is no JSON"],
      ],
    );
    assert.equal(all[0]?.options.unheld, undefined);
    cni().isKept = false;
    assert.equal((await networks.show("cni:lan")).options.unheld, "nftables is not installed");
    const { members } = await networks.show("cni:lan");
    assert.deepEqual(
      members.map(({ vmName, ip }) => [vmName, ip]),
      [["a", "10.1.0.5"]],
    );
    await assert.rejects(networks.show("cni:nothing"), reason("network-not-found"));
    assert.deepEqual(networks.list(), []);
  });
});
