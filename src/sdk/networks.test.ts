import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { FakeKilnd } from "../../test/fixtures/fake-kilnd.js";
import { hasReason, Kiln } from "./index.js";
import { planNetworks } from "./network-options.js";

let kilnd: FakeKilnd;
let kiln: Kiln;
beforeEach(async () => {
  kilnd = await FakeKilnd.start();
  kiln = await Kiln.connect({ host: kilnd.host });
});
afterEach(async () => {
  await kiln.close();
  await kilnd.close();
});

const reason = (word: string) => (error: unknown) => hasReason(error, word);

describe("kiln.networks", () => {
  it("makes, lists, shows and removes", async () => {
    const made = await kiln.networks.create("web", {
      ...{ subnets: ["10.1.0.0/24"], gateways: ["10.1.0.9"], ipRanges: ["10.1.0.64/26"], ipv6: true },
      ...{ internal: true, dnsDisabled: true, options: { mtu: "1400" }, labels: { a: "b" } },
    });
    assert.deepEqual(kilnd.calls, [
      'CreateNetwork web ["",["10.1.0.0/24"],["10.1.0.9"],["10.1.0.64/26"],true,true,true,{"mtu":"1400"},{"a":"b"}]',
    ]);
    assert.deepEqual([made.name, made.internal, made.labels, made.members], ["web", true, { a: "b" }, []]);
    assert.deepEqual(await kiln.networks.get("web"), made);
    assert.deepEqual(await kiln.networks.list({ filter: ["name=w"] }), [made]);
    await kiln.networks.remove("web");
    await assert.rejects(kiln.networks.get("web"), reason("network-not-found"));
    assert.deepEqual(await kiln.networks.prune({ filter: ["until=24h"] }), ["old"]);
    assert.deepEqual((await kiln.prune()).networks, ["idle"]);
  });

  it("puts VMs on networks and takes them off", async () => {
    await kiln.networks.create("web");
    const { members } = await kiln.networks.connect("db", "web:ip=10.89.0.5,alias=PG");
    assert.deepEqual(
      members.map(({ vm, ip, aliases }) => [vm, ip, aliases]),
      [["db", "10.89.0.5", ["pg"]]],
    );
    await kiln.networks.connect("api", { network: "web", mac: "02-00-00-00-00-01" });
    assert.equal(kilnd.calls.at(-1), 'ConnectNetwork api ["web","","","02:00:00:00:00:01",[]]');
    await kiln.networks.disconnect("db", "web");
    await assert.rejects(kiln.networks.disconnect("db", "web"), reason("not-connected"));
    await assert.rejects(kiln.networks.connect("db", "user"), reason("bad-network"));
    await assert.rejects(kiln.networks.connect("db", { network: "web", ip: "10.0.0" }), reason("bad-ip"));
    await assert.rejects(
      kiln.networks.connect("db", "none"),
      (error: { hint?: string }) => /--network none/.test(error.hint ?? ""),
      "said so that the command line's user can do it too",
    );
    await assert.rejects(kiln.networks.connect("db", { netwrk: "web" } as never), reason("unknown-option"));
  });
});

describe("networks of a VM", () => {
  it("are asked for in words or by fields, with a way out only where one is named", () => {
    const none = { ip: "", ip6: "", mac: "", aliases: [] };
    assert.deepEqual(planNetworks({}), {});
    assert.deepEqual(planNetworks({ networks: ["web"] }), {
      network: "none",
      networks: [{ network: "web", ...none }],
    });
    assert.deepEqual(planNetworks({ network: "user", networks: [{ network: "web", aliases: ["a"] }] }), {
      network: "user",
      networks: [{ network: "web", ...none, aliases: ["a"] }],
    });
    const words = { egress: "none", dns: ["9.9.9.9"], dnsSearch: ["."], dnsOptions: ["ndots:2"] };
    assert.deepEqual(planNetworks({ ...words, publishMode: "dial" }), { ...words, publishMode: "dial" });
  });
});
