import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import { orderOf } from "../../../test/fixtures/network-case.js";
import { Code, hasReason, KilnError } from "../../base/errors.js";
import type { NetworkAsk } from "../../base/network-flag.js";
import { attachmentOf } from "../vm/network-config.js";

const kilnd = engineCase();
const on = (name: string, changes: Partial<NetworkAsk> = {}) =>
  attachmentOf({ ...{ name, ip: "", ip6: "", mac: "", aliases: [] }, ...changes });
const bridges = () => kilnd.world.bridges ?? assert.fail();
const calls = () => bridges().calls.splice(0);

async function started(name: string, networks: readonly string[], network: "user" | "none" = "none") {
  const entry = await kilnd.create({ name, network, networks: networks.map((one) => on(one)) });
  await kilnd.engine.vms.start(entry.id);
  const vmm = kilnd.world.vmms.at(-1) ?? assert.fail();
  return { entry, vmm, told: vmm.guest?.boot ?? assert.fail() };
}

describe("a VM's cards on networks", () => {
  it("are there before its VMM, and its guest is told of them; its networks go with the last one", async () => {
    await kilnd.engine.networks.create(orderOf("web", { ipv6: true }));
    await kilnd.engine.networks.create(orderOf("db", { internal: true }));
    const { entry, vmm, told } = await started("a", ["db", "web"]);
    assert.deepEqual(calls(), ["up db", "join db a", "up web", "join web a"]);
    assert.deepEqual(
      vmm.spec.cards.map(({ id, mac, backend }) => [id, mac, backend.kind]),
      entry.record.config.networks.map(({ mac }, index) => [`net${index}`, mac, "descriptor"]),
    );
    assert.deepEqual(
      told.network?.interfaces.map(({ name, addresses, gateway4, mtu }) => [
        name,
        addresses[0],
        gateway4,
        mtu,
      ]),
      [
        ["eth0", "10.89.1.2/24", "", 1500],
        ["eth1", "10.89.0.2/24", "10.89.0.1", 1500],
      ],
    );
    assert.match(told.network?.interfaces[1]?.gateway6 ?? "", /^fd.*::1$/);
    assert.deepEqual(
      told.dns?.servers,
      ["10.89.0.1", "10.89.1.1"],
      "first the one that knows the world outside",
    );
    assert.equal(entry.status.ipAddress, "10.89.1.2");
    await started("b", ["web"]);
    await kilnd.engine.vms.stop("a");
    assert.deepEqual(calls(), ["up web", "join web b", "leave web a", "leave db a", "down db"]);
    await kilnd.engine.vms.stop("b");
    assert.deepEqual(calls(), ["leave web b", "down web"]);
  });

  it("count what they were refused, all of them together; a network that can't be asked costs the others nothing", async () => {
    const { vms, networks } = kilnd.engine;
    for (const name of ["web", "db"]) await networks.create(orderOf(name));
    const { entry } = await started("a", ["db", "web"], "user");
    kilnd.world.denied = 4;
    bridges().denied = 100;
    assert.equal(await vms.denied("a"), 204);
    bridges().counters = () => Promise.reject(new Error("nft said no"));
    assert.equal(await vms.denied("a"), 4);
    await vms.stop(entry.id);
    assert.equal(await vms.denied("a"), 0);
  });

  it("stand behind that of the user network, whose way out they leave alone", async () => {
    await kilnd.engine.networks.create(orderOf("web"));
    const { told } = await started("a", ["web"], "user");
    assert.deepEqual(
      told.network?.interfaces.map(({ name, gateway4 }) => [name, gateway4]),
      [
        ["eth0", "10.0.2.2"],
        ["eth1", ""],
      ],
    );
    assert.equal(told.dns?.servers[0], "10.89.0.1");
  });

  it("are found again by the next kilnd, which tidies up once, and leaves a network with the VM's end", async () => {
    await kilnd.engine.networks.create(orderOf("web"));
    const { vmm } = await started("a", ["web"]);
    await started("b", ["web"]);
    calls();
    await kilnd.next();
    assert.deepEqual(calls(), ["adopt web a,b", "sweep 1 2 1"]);
    await kilnd.engine.vms.kill("a");
    assert.deepEqual(calls(), ["leave web a"]);
    assert.equal(vmm.alive, false);
    await kilnd.engine.vms.kill("b");
    assert.deepEqual(calls(), ["leave web b", "down web"]);
    await kilnd.next();
    assert.deepEqual(calls(), ["sweep 1 2 0"]);
  });

  it("cost the start where they can't be had, and nothing is left of the others", async () => {
    await kilnd.engine.networks.create(orderOf("web"));
    await kilnd.engine.networks.create(orderOf("db"));
    const entry = await kilnd.create({ name: "a", networks: [on("web"), on("db")] });
    const { up } = bridges();
    bridges().up = async (spec) => {
      await up.call(bridges(), spec);
      if (spec.name === "db")
        throw new KilnError(Code.FailedPrecondition, "a VPN's", { reason: "subnet-overlaps" });
    };
    await assert.rejects(kilnd.engine.vms.start(entry.id), (error) => hasReason(error, "subnet-overlaps"));
    assert.deepEqual(calls(), [
      "up web",
      "join web a",
      "up db",
      "leave db a",
      "down db",
      "leave web a",
      "down web",
    ]);
    assert.deepEqual(
      kilnd.world.vmms.filter(({ alive }) => alive),
      [],
    );
  });
});
