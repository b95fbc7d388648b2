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
const published = () => calls().filter((call) => call.includes("publish"));

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

  it("are what ports lead to by rules, which outlive kilnd and go with the port and with the VM", async () => {
    const { engine } = kilnd;
    for (const [name, internal] of [
      ["db", true],
      ["web", false],
    ] as const)
      await engine.networks.create(orderOf(name, { internal }));
    const port = (hostPort: number) => ({ hostIp: "", hostPort, vmPort: 80, protocol: "tcp" as const });
    const networks = [on("db"), on("web")];
    const publish = [port(8080)];
    const { id } = await kilnd.create({ name: "a", publishMode: "nft", networks, publish });
    await engine.vms.start(id);
    assert.deepEqual(calls().slice(-1), ["publish web a 8080:80"]);
    await engine.vms.addPort("a", port(9090));
    assert.deepEqual(calls(), ["publish web a 9090:80"]);
    await kilnd.next();
    assert.deepEqual(published(), ["publish web a 8080:80", "publish web a 9090:80"]);
    await kilnd.engine.vms.removePort("a", port(9090));
    await kilnd.engine.vms.stop("a");
    assert.deepEqual(published(), ["unpublish web a 9090:80", "unpublish web a 8080:80"]);
  });

  it("lead nowhere by rules where somebody else has taken the port while no kilnd ran", async () => {
    await kilnd.engine.networks.create(orderOf("web"));
    const publish = [{ hostIp: "", hostPort: 8080, vmPort: 80, protocol: "tcp" as const }];
    const { id } = await kilnd.create({ name: "a", publishMode: "nft", networks: [on("web")], publish });
    await kilnd.engine.vms.start(id);
    calls();
    kilnd.world.portsTaken.add(8080);
    await kilnd.next();
    assert.deepEqual(published(), ["unpublish web a 8080:80"]);
  });

  it("are wanted of a VM whose ports are published by rules, and of a kilnd that can", async () => {
    const { networks } = kilnd.engine;
    await networks.create(orderOf("web"));
    await networks.create(orderOf("inner", { internal: true }));
    const port = (hostIp: string) => ({ hostIp, hostPort: 8080, vmPort: 80, protocol: "tcp" as const });
    const wrong = async (config: object, word: string) =>
      assert.rejects(
        kilnd.create({ publishMode: "nft", ...config }),
        (error) => hasReason(error, word),
        word,
      );
    const lacks = "publish-mode-needs-network";
    await wrong({ networks: [] }, lacks);
    await wrong({ networks: [on("web")], network: "user" }, lacks);
    await wrong({ networks: [on("inner")], publish: [port("")] }, lacks);
    await wrong({ networks: [on("web")], publish: [port("::")] }, lacks);
    bridges().publishes = false;
    await wrong({ networks: [on("web")], publish: [port("")] }, "publish-mode-needs-root");
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
