import assert from "node:assert/strict";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { networkCase, orderOf } from "../../../test/fixtures/network-case.js";
import { hasReason } from "../../base/errors.js";
import { UndoStack } from "../../base/undo.js";
import { networkRef } from "./entry.js";
import { NetworkVerbs } from "./network-verbs.js";
import type { Networks } from "./networks.js";
import { specOf } from "./record.js";

const on = networkCase();
const VM = { id: "f".repeat(64), name: "web" };
const NOTHING = { ip: "", ip6: "", mac: "" };
const reason = (word: string) => (error: unknown) => hasReason(error, word);
/** Two hours after all that is made in a case. */
const NOW = Date.parse("2026-11-30T14:00:00.000Z");

function verbsOf(networks: Networks): NetworkVerbs {
  return new NetworkVerbs({ networks, references: on.references, now: () => NOW });
}

/** As the records of VMs have it. */
function joinNetwork(networkId: string, vm = VM, ip = "10.89.0.2"): void {
  const members = on.members.get(networkId) ?? [];
  on.members.set(networkId, [
    ...members,
    { vmId: vm.id, vmName: vm.name, ip, ip6: "", mac: "02:00:00:00:00:05", aliases: [] },
  ]);
  on.references.set({ noun: "vm", id: vm.id }, [{ to: networkRef(networkId), how: "needs" }]);
}

describe("a network", () => {
  it("is made with addresses of its own, kept for the next kilnd, and goes", async () => {
    const networks = await on.open();
    const entry = await networks.create(
      orderOf("web", {
        ipv6: true,
        internal: true,
        options: { mtu: "1400", isolated: "true" },
        labels: { a: "b" },
      }),
    );
    const spec = specOf(entry.record);
    assert.deepEqual([spec.subnet4, spec.gateway4, spec.mtu], ["10.89.0.0/24", "10.89.0.1", 1400]);
    assert.ok(spec.isolated && spec.internal && !spec.dnsDisabled && spec.subnet6?.startsWith("fd"));
    assert.equal((await networks.create(orderOf("db"))).record.subnet4, "10.89.1.0/24");
    const next = await on.open();
    assert.deepEqual(next.find("web").record, entry.record);
    await next.remove(next.find("web"));
    assert.deepEqual(on.bridges.calls, ["down web"]);
    assert.throws(() => next.find("web"), reason("network-not-found"));
    assert.equal((await readdir(join(on.root, "networks"))).length, 1);
    assert.equal((await next.create(orderOf("api"))).record.subnet4, "10.89.0.0/24");
    assert.deepEqual(on.told, ["create web", "create db", "destroy web", "create api"]);
  });

  it("has a subnet of its own also where two are made at once, and none of the host's", async () => {
    on.bridges.routes = [
      { destination: "0.0.0.0/0", device: "eth0" },
      { destination: "10.89.0.0/23", device: "wg0" },
    ];
    const networks = await on.open();
    const made = await Promise.all(["a", "b", "c"].map((name) => networks.create(orderOf(name))));
    assert.deepEqual(
      made.map(({ record }) => record.subnet4),
      ["10.89.2.0/24", "10.89.3.0/24", "10.89.4.0/24"],
    );
    await assert.rejects(networks.create(orderOf("d", { subnets: ["10.89.1.0/24"] })), (error) => {
      assert.ok(error instanceof Error && /wg0 of this host/.test(error.message));
      return hasReason(error, "subnet-overlaps");
    });
    await assert.rejects(
      networks.create(orderOf("d", { subnets: ["10.89.2.0/25"] })),
      (error) => error instanceof Error && /network a/.test(error.message),
    );
  });

  it("is refused where it can't be, and leaves nothing", async () => {
    const networks = await on.open();
    await networks.create(orderOf("web"));
    const table = [
      [orderOf("web"), "name-in-use"],
      [orderOf("host"), "bad-name"],
      [orderOf("a b"), "bad-name"],
      [orderOf("x", { driver: "overlay" }), "bad-driver"],
      [orderOf("x", { driver: "cni:lab" }), "driver-not-supported"],
      [orderOf("x", { options: { mtu: "100" } }), "bad-network-option"],
      [orderOf("x", { options: { isolatd: "true" } }), "bad-network-option"],
      [orderOf("x", { options: { isolated: "maybe" } }), "bad-network-option"],
      [orderOf("x", { labels: { "": "x" } }), "bad-label"],
      [orderOf("x", { subnets: ["nonsense"] }), "bad-subnet"],
    ] as const;
    for (const [order, word] of table) await assert.rejects(networks.create(order), reason(word), word);
    assert.equal((await readdir(join(on.root, "networks"))).length, 1);
    assert.equal((await networks.create(orderOf("x"))).name, "x");
    const icc = { "com.docker.network.bridge.enable_icc": "false" };
    assert.ok((await networks.create(orderOf("y", { options: icc }))).record.isolated);
  });

  it("does not go while a VM has it, or comes onto it", async () => {
    const networks = await on.open();
    const entry = await networks.create(orderOf("web"));
    const { references } = on;
    await using leases = new UndoStack();
    assert.equal(
      (await networks.take("web", { references, leases, why: "VM x is being made" })).id,
      entry.id,
    );
    await assert.rejects(networks.remove(entry), reason("network-in-use"));
    await leases.rollback();
    joinNetwork(entry.id);
    await assert.rejects(networks.remove(entry), reason("network-in-use"));
    references.drop({ noun: "vm", id: VM.id });
    on.bridges.refusal = new Error("nft said no");
    await assert.rejects(networks.remove(entry), /nft said no/);
    assert.equal(networks.find("web"), entry);
    on.bridges.refusal = undefined;
    await networks.remove(entry);
    assert.deepEqual(networks.list(), []);
  });
});

describe("addresses of VMs", () => {
  it("are nobody else's from the moment that they are chosen", async () => {
    const networks = await on.open();
    const entry = await networks.create(orderOf("web"));
    const first = networks.reserve(entry, VM, NOTHING);
    const second = networks.reserve(entry, { id: "e".repeat(64), name: "db" }, NOTHING);
    assert.deepEqual([first.addresses.ip, second.addresses.ip], ["10.89.0.2", "10.89.0.3"]);
    const third = { id: "d".repeat(64), name: "x" };
    assert.throws(
      () => networks.reserve(entry, third, { ...NOTHING, ip: "10.89.0.2" }),
      (error) => hasReason(error, "ip-in-use"),
    );
    joinNetwork(entry.id);
    first.release();
    second.release();
    second.release();
    assert.equal(networks.reserve(entry, third, NOTHING).addresses.ip, "10.89.0.3");
    // Its own are no other's.
    assert.equal(networks.reserve(entry, VM, { ...NOTHING, ip: "10.89.0.2" }).addresses.ip, "10.89.0.2");
  });

  it("are not chosen of a network whose record is lost, which stays", async () => {
    const { id } = await (await on.open()).create(orderOf("web"));
    for (const copy of ["", ".bak"]) await rm(on.path(id, `network.json${copy}`));
    const networks = await on.open();
    const entry = networks.find(id);
    assert.throws(() => networks.reserve(entry, VM, NOTHING), reason("record-damaged"));
    assert.deepEqual(await verbsOf(networks).prune(), []);
    await networks.remove(entry);
    assert.deepEqual(await readdir(join(on.root, "networks")), []);
  });
});

describe("networks", () => {
  it("are shown with who is on them, listed by filters, and pruned where nobody is", async () => {
    const networks = await on.open();
    const verbs = verbsOf(networks);
    const web = await verbs.create(orderOf("web"));
    await verbs.create(orderOf("db", { labels: { kind: "data" } }));
    joinNetwork(web.id);
    assert.deepEqual(
      verbs.find("web").members.map(({ vmName, ip }) => [vmName, ip]),
      [["web", "10.89.0.2"]],
    );
    const listed = (...filters: string[]) => verbs.list(filters).map(({ name }) => name);
    assert.deepEqual(listed().sort(), ["db", "web"]);
    assert.deepEqual(listed("dangling=true"), ["db"]);
    assert.deepEqual(listed("driver=bridge", "label=kind=data"), ["db"]);
    assert.deepEqual(listed(`id=${web.id.slice(0, 9)}`), ["web"]);
    assert.throws(() => listed("scope=local"), reason("bad-filter"));
    assert.deepEqual(await verbs.prune(["until=3h"]), []);
    assert.deepEqual(await verbs.prune(["until=1h"]), ["db"]);
    assert.deepEqual(await verbs.prune(), []);
    await assert.rejects(verbs.remove("web"), reason("network-in-use"));
  });
});
