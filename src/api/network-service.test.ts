import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { Code } from "@connectrpc/connect";
import { FakeApi, failsWith } from "../../test/fixtures/fake-api.js";

let api: FakeApi;
beforeEach(async () => {
  api = await FakeApi.open();
});
afterEach(() => api.close());

describe("NetworkService", () => {
  it("makes, shows, lists, prunes and removes", async () => {
    const asked = { name: "web", subnets: ["10.99.7.0/24"], ipRanges: ["10.99.7.64/26"], ipv6: true };
    const more = { internal: true, dnsDisabled: true, options: { mtu: "1400" }, labels: { a: "b" } };
    const { network: made } = await api.networks.createNetwork({ ...asked, ...more });
    assert.ok(made !== undefined);
    assert.deepEqual(
      [made.name, made.driver, made.subnet, made.gateway, made.ipRange, made.mtu],
      ["web", "bridge", "10.99.7.0/24", "10.99.7.1", "10.99.7.64/26", 1400],
    );
    assert.ok(made.internal && made.dnsDisabled && !made.isolated && made.subnet6.startsWith("fd"));
    assert.deepEqual([made.options, made.labels, made.members], [{ mtu: "1400" }, { a: "b" }, []]);
    assert.deepEqual((await api.networks.getNetwork({ network: made.id.slice(0, 9) })).network, made);
    assert.deepEqual((await api.networks.listNetworks({ filters: ["label=a"] })).networks, [made]);
    assert.equal((await api.networks.removeNetwork({ network: "web" })).id, made.id);
    await api.networks.createNetwork({ name: "a" });
    assert.deepEqual((await api.networks.pruneNetworks({})).networks, ["a"]);
    await api.networks.createNetwork({ name: "b" });
    assert.deepEqual((await api.system.prune({})).networks, ["b"]);
  });

  it("puts VMs on networks, shows them there, and takes them off", async () => {
    await api.networks.createNetwork({ name: "web" });
    const attachment = { network: "web", aliases: ["DB"] };
    const { id } = await api.createVm({
      name: "a",
      network: "",
      networks: [attachment],
      dnsSearch: ["x.example"],
    });
    const { vm } = await api.vms.getVm({ vm: id });
    const [kept] = vm?.config?.networks ?? [];
    assert.deepEqual([kept?.network, kept?.ip, kept?.aliases], ["web", "10.89.0.2", ["db"]]);
    assert.deepEqual([vm?.config?.dnsSearch, vm?.config?.publishMode], [["x.example"], "dial"]);
    assert.equal(vm?.config?.network, "none");
    const [there] = vm?.status?.networks ?? [];
    assert.deepEqual(
      [there?.gateway, there?.prefix, there?.gateway6, there?.prefix6],
      ["10.89.0.1", 24, "", 0],
    );
    assert.equal(there?.attachment?.mac, kept?.mac);
    const other = await api.createVm({ name: "b", network: "none" });
    const wanted = { network: "web", ip: "10.89.0.7" };
    const { network } = await api.networks.connectNetwork({ vm: other.id, attachment: wanted });
    assert.deepEqual(
      network?.members.map((member) => [member.vm, member.ip]),
      [
        ["a", "10.89.0.2"],
        ["b", "10.89.0.7"],
      ],
    );
    await assert.rejects(
      api.networks.removeNetwork({ network: "web" }),
      failsWith(Code.FailedPrecondition, "network-in-use"),
    );
    await api.networks.disconnectNetwork({ vm: "b", network: "web" });
    await assert.rejects(
      api.networks.disconnectNetwork({ vm: "b", network: "web" }),
      failsWith(Code.NotFound, "not-connected"),
    );
  });

  it("says what is wrong with what was asked", async () => {
    const { createNetwork, listNetworks, connectNetwork } = api.networks;
    await createNetwork({ name: "web" });
    const refused: [Parameters<typeof createNetwork>[0], Code, string][] = [
      [{ name: "web" }, Code.AlreadyExists, "name-in-use"],
      [{ name: "a/b" }, Code.InvalidArgument, "bad-name"],
      [{ name: "x", driver: "cni:lab" }, Code.Unimplemented, "driver-not-supported"],
      [{ name: "x", subnets: ["10.89.0.0/16"] }, Code.AlreadyExists, "subnet-overlaps"],
    ];
    for (const [ask, code, reason] of refused)
      await assert.rejects(createNetwork(ask), failsWith(code, reason));
    await assert.rejects(listNetworks({ filters: ["a=b"] }), failsWith(Code.InvalidArgument, "bad-filter"));
    await assert.rejects(connectNetwork({ vm: "x" }), failsWith(Code.InvalidArgument, "bad-request"));
    await assert.rejects(
      api.createVm({ publishMode: "magic" }),
      failsWith(Code.InvalidArgument, "bad-publish-mode"),
    );
  });
});
