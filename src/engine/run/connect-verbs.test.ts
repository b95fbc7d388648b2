import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import { orderOf } from "../../../test/fixtures/network-case.js";
import { hasReason } from "../../base/errors.js";
import type { NetworkAsk } from "../../base/network-flag.js";
import { macFor } from "../../base/networks.js";
import { attachmentOf } from "../vm/network-config.js";

const kilnd = engineCase();
const on = (name: string, changes: Partial<NetworkAsk> = {}) =>
  attachmentOf({ ...{ name, ip: "", ip6: "", mac: "", aliases: [] }, ...changes });
const reason = (word: string) => (error: unknown) => hasReason(error, word);
const networksOf = (key: string) => kilnd.engine.entry(key).record.config.networks;
const vms = () => readdir(join(kilnd.world.root, "data/vms"));

describe("a VM on networks", () => {
  it("has its addresses from its making on, over kilnds, and others have others", async () => {
    const { networks } = kilnd.engine;
    const { id } = await networks.create(orderOf("web", { ipv6: true }));
    const [first, second] = await Promise.all([
      kilnd.create({ name: "a", networks: [on("web", { aliases: ["DB"] })] }),
      kilnd.create({ name: "b", networks: [on(id.slice(0, 8), { ip: "10.89.0.9" })] }),
    ]);
    assert.ok(first !== undefined && second !== undefined);
    const [mine] = networksOf("a");
    assert.deepEqual(
      { ...mine, ip6: "" },
      { name: "web", networkId: id, ip: "10.89.0.2", ip6: "", mac: macFor(first.id, id), aliases: ["db"] },
    );
    // The last part is the one of IPv4, whichever of the two was first.
    assert.match(mine?.ip6 ?? "", /^fd.*::2$/);
    const [other] = networksOf("b");
    assert.deepEqual([other?.name, other?.ip], ["web", "10.89.0.9"]);
    assert.equal(other?.ip6, mine?.ip6.replace(/2$/, "9"));
    await kilnd.next();
    assert.deepEqual([networksOf("a"), networksOf("b")], [[mine], [other]]);
    const { members } = kilnd.engine.networks.find("web");
    // Listed as they were made: of two at once either may be the first.
    assert.deepEqual(members.map(({ vmName, ip, aliases }) => [vmName, ip, aliases]).sort(), [
      ["a", "10.89.0.2", ["db"]],
      ["b", "10.89.0.9", []],
    ]);
    await assert.rejects(kilnd.engine.networks.remove("web"), /VM a, VM b|VM b, VM a/);
    for (const key of ["a", "b"]) await kilnd.engine.vms.remove(key, true);
    assert.equal(await kilnd.engine.networks.remove("web"), id);
  });

  it("is not made where a network can't be had, and keeps no address from others", async () => {
    const { networks } = kilnd.engine;
    await networks.create(orderOf("web", { subnets: ["10.99.0.0/30"] }));
    const table = [
      [{ networks: [on("nowhere")] }, "network-not-found"],
      [{ networks: [on("web"), on("web")] }, "network-twice"],
      [{ networks: [on("web", { ip: "10.98.0.1" })] }, "bad-ip"],
      [{ networks: [on("web", { ip6: "fd00::2" })] }, "bad-ip"],
      [{ networks: [on("user")] }, "bad-network"],
      [{ networks: [on("web", { mac: "nonsense" })] }, "bad-mac"],
      [{ networks: [on("web", { aliases: ["a b"] })] }, "bad-alias"],
      [{ networks: Array.from({ length: 9 }, (_, at) => on(`n${at}`)) }, "too-many-networks"],
      [{ egress: "somewhere" }, "bad-egress"],
      [{ publishMode: "nft" }, "publish-mode-needs-network"],
      [{ publishMode: "nft", network: "user", networks: [on("web")] }, "publish-mode-needs-network"],
      [{ dnsSearch: ["a b"] }, "bad-dns-search"],
      [{ dnsOptions: ["x y"] }, "bad-dns-option"],
    ] as const;
    for (const [config, word] of table)
      await assert.rejects(kilnd.create(config as object), reason(word), word);
    kilnd.world.freeDisk = 1;
    await assert.rejects(kilnd.create({ networks: [on("web")] }), reason("host-disk-full"));
    kilnd.world.freeDisk = 1e12;
    kilnd.world.imageIsGone = true;
    await assert.rejects(kilnd.create({ networks: [on("web")] }));
    kilnd.world.imageIsGone = false;
    // It has room for one alone.
    await kilnd.create({ name: "a", networks: [on("web")], egress: "all" });
    assert.equal(kilnd.engine.entry("a").record.config.egress, "");
    await assert.rejects(kilnd.create({ networks: [on("web")] }), reason("no-free-address"));
    assert.equal((await vms()).length, 1);
  });

  it("has the host's policy where its maker names none, and keeps it when that changes", async () => {
    const egressOf = (name: string) => kilnd.engine.entry(name).record.config.egress;
    await kilnd.next({ egress: "dns,10.0.0.0/8" });
    await kilnd.create({ name: "a" });
    await kilnd.create({ name: "b", egress: "all" });
    await kilnd.create({ name: "c", egress: "none" });
    assert.deepEqual(["a", "b", "c"].map(egressOf), ["dns,10.0.0.0/8", "", "none"]);
    await kilnd.next({ egress: "none" });
    assert.deepEqual(["a", "b", "c"].map(egressOf), ["dns,10.0.0.0/8", "", "none"]);
  });

  it("is refused where this kilnd or this host has none to give", async () => {
    await kilnd.engine.networks.create(orderOf("web"));
    assert.ok(kilnd.world.bridges !== undefined);
    kilnd.world.bridges.usable = false;
    await assert.rejects(kilnd.create({ networks: [on("web")] }), reason("no-bridge-network"));
    kilnd.world.bridges = undefined;
    await kilnd.next();
    await assert.rejects(kilnd.create({ networks: [on("web")] }), reason("networks-not-ready"));
    const entry = await kilnd.create();
    const connect = kilnd.engine.networks.connect("web", entry.id, on(""));
    await assert.rejects(connect, reason("networks-not-ready"));
    assert.equal((await vms()).length, 1);
  });
});

describe("a VM that exists", () => {
  it("comes onto a network and leaves it while it does not run", async () => {
    const { engine } = kilnd;
    const { id } = await engine.networks.create(orderOf("web"));
    await engine.networks.create(orderOf("db"));
    await kilnd.create({ name: "a", networks: [on("db")] });
    const events: string[] = [];
    const view = await engine.networks.connect("web", "a", on("", { ip: "10.89.0.7", aliases: ["front"] }));
    assert.deepEqual(
      view.members.map(({ vmName, ip, aliases }) => [vmName, ip, aliases]),
      [["a", "10.89.0.7", ["front"]]],
    );
    assert.deepEqual(
      networksOf("a").map(({ name }) => name),
      ["db", "web"],
    );
    await assert.rejects(engine.networks.connect(id, "a", on("")), reason("already-connected"));
    await assert.rejects(engine.networks.remove("web"), reason("network-in-use"));
    await engine.networks.disconnect("web", "a");
    await assert.rejects(engine.networks.disconnect("web", "a"), reason("not-connected"));
    await kilnd.next();
    assert.deepEqual(
      networksOf("a").map(({ name }) => name),
      ["db"],
    );
    await kilnd.engine.networks.remove("web");
    for await (const { type, action, attributes } of engine.events.read({
      sinceMs: 0,
      untilMs: Date.now(),
    })) {
      if (type === "network") events.push(`${action} ${attributes.name} ${attributes.vm ?? ""}`.trim());
    }
    assert.deepEqual(events, ["create web", "create db", "connect web a", "disconnect web a"]);
  });

  it("has its cards in order of their places, whatever was taken away of them", async () => {
    const { networks } = kilnd.engine;
    for (const name of ["one", "two", "three"]) await networks.create(orderOf(name));
    await kilnd.create({ name: "a", networks: ["one", "two", "three"].map((name) => on(name)) });
    await networks.disconnect("two", "a");
    await networks.connect("two", "a", on(""));
    assert.deepEqual(
      networksOf("a").map(({ name, index }) => [name, index]),
      ["one", "three", "two"].map((name) => [name, undefined]),
    );
  });

  it("is asked for by its name", async () => {
    await kilnd.engine.networks.create(orderOf("web"));
    await kilnd.create({ name: "a" });
    assert.deepEqual(networksOf("a"), []);
    await assert.rejects(kilnd.engine.networks.connect("web", "nobody", on("")), reason("vm-not-found"));
    await assert.rejects(kilnd.engine.networks.connect("nothing", "a", on("")), reason("network-not-found"));
  });
});
