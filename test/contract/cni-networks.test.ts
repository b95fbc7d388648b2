// CNI networks without a VM: Debian's own plugins, called as kilnd calls them on a host of the test's own
// (cni-world).

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { JsonObject } from "../../src/base/versioned.js";
import type { CniAttachment } from "../../src/net/cni/plan-call.js";
import type { CniJoined } from "../../src/net/types.js";
import { OUTSIDE } from "../fixtures/bridge-world.js";
import {
  addressIn,
  CniWorld,
  cniCard,
  macvlanPlugins,
  ptpPlugins,
  usualPlugins,
} from "../fixtures/cni-world.js";

const isRoot = process.getuid?.() === 0;

for (const isUser of [false, true])
  describe(`CNI networks of ${isUser ? "an ordinary user" : "root"}`, {
    skip: !isRoot && "it takes root to make hosts for tests",
  }, () => {
    let world: CniWorld;
    before(async () => {
      world = await CniWorld.open(isUser);
      for (const [at, version] of ["0.3.1", "0.4.0", "1.0.0"].entries())
        world.conflist(`usual${at}`, version, usualPlugins(at, version));
      world.conflist("ptp", "1.0.0", ptpPlugins(3));
      world.conflist("macvlan", "1.0.0", macvlanPlugins(4));
    });
    after(() => world[Symbol.asyncDispose]());

    const can = async (...args: Parameters<CniWorld["inside"]>) => (await world.inside(...args)).status === 0;
    for (const [at, network] of ["usual0", "usual1", "usual2"].entries())
      it(`give cards of ${network} addresses, each other and the world outside`, async () => {
        const before = await world.settled(network);
        const driver = world.driver();
        const cards = [cniCard(network), cniCard(network)] as const;
        const [one, other] = [
          await driver.call<CniJoined>({ call: "join", card: cards[0] }),
          await driver.call<CniJoined>({ call: "join", card: cards[1] }),
        ];
        assert.match(addressIn(one.addresses, 4), new RegExp(`^10\\.30\\.${at}\\.`));
        assert.deepEqual([one.gateway4, one.gateway6, one.mtu], [`10.30.${at}.1`, `fd30:a${at}::1`, 1500]);
        assert.match((await world.inside(cards[0], "ip link show eth0")).stdout, new RegExp(one.mac));
        for (const address of [addressIn(other.addresses, 4), addressIn(other.addresses, 6), OUTSIDE.ip4])
          assert.ok(await can(cards[0], `busybox ping -c 1 -W 5 ${address}`), address);
        await driver.call({ call: "adopt", card: cards[0] });
        for (const card of cards) await driver.call({ call: "leave", card });
        await driver.call({ call: "leave", card: cards[0] });
        await driver.end();
        assert.equal(await world.found(), before);
      });

    it("have the same MAC address after every start, and addresses that are asked for", async () => {
      const driver = world.driver();
      const card = cniCard("usual2");
      const { mac } = await driver.call<CniJoined>({ call: "join", card });
      await driver.call({ call: "leave", card });
      assert.equal((await driver.call<CniJoined>({ call: "join", card })).mac, mac);
      const asked = cniCard("usual2", { ip: "10.30.2.77", ip6: "fd30:a2::77", mac: "02:00:00:00:00:77" });
      const given = await driver.call<CniJoined>({ call: "join", card: asked });
      assert.deepEqual(given.addresses, ["10.30.2.77/24", "fd30:a2::77/64"]);
      assert.equal(given.mac, asked.mac);
      const taken = { call: "join", card: cniCard("usual2", { ip: "10.30.2.77" }) } as const;
      await assert.rejects(driver.call(taken), /cni-failed: .*plugin bridge failed to ADD: .*10\.30\.2\.77/);
      const foreign = cniCard("macvlan", { mac: "02:00:00:00:00:78", ip: "10.99.99.99" });
      await assert.rejects(driver.call({ call: "join", card: foreign }), /cni-failed/);
      for (const each of [card, asked]) await driver.call({ call: "leave", card: each });
      await driver.end();
    });

    it("have the addresses again that they had, where nobody has them by now", async () => {
      const driver = world.driver();
      const card = cniCard("usual2");
      const { addresses } = await driver.call<CniJoined>({ call: "join", card });
      await driver.call({ call: "leave", card });
      // Addresses are given in a row: without the wish it would be the next one.
      const wish = addresses.map((address) => address.replace(/\/.*/, ""));
      const again = await driver.call<CniJoined>({ call: "join", card: { ...card, wish } });
      assert.deepEqual(again.addresses, addresses);
      const other = cniCard("usual2", { wish });
      const others = await driver.call<CniJoined>({ call: "join", card: other });
      assert.notDeepEqual(others.addresses, addresses);
      assert.equal(others.addresses.length, 2);
      for (const each of [card, other]) await driver.call({ call: "leave", card: each });
      await driver.end();
    });

    it("give a card of ptp its only way by its router", async () => {
      const before = await world.settled("ptp");
      const driver = world.driver();
      const card = cniCard("ptp");
      const { addresses, gateway4 } = await driver.call<CniJoined>({ call: "join", card });
      assert.match(addresses.join(), /^10\.30\.3\.\d+\/32,/);
      assert.equal(gateway4, "10.30.3.1");
      assert.ok(await can(card, `busybox ping -c 1 -W 5 ${OUTSIDE.ip4}`));
      await driver.call({ call: "leave", card });
      await driver.end();
      assert.equal(await world.found(), before);
    });

    if (isUser)
      it("have no link of the host's for a user's card, in the plugin's own words", async () => {
        const driver = world.driver();
        const words = /cni-failed: CNI network macvlan: plugin macvlan failed to ADD: Link not found/;
        await assert.rejects(driver.call({ call: "join", card: cniCard("macvlan") }), words);
        await driver.end();
        assert.equal(await world.found(), "");
      });
    else
      it("put cards of macvlan on the host's own link", async () => {
        const before = await world.settled("macvlan");
        const driver = world.driver();
        const cards = [cniCard("macvlan"), cniCard("macvlan")] as const;
        await driver.call({ call: "join", card: cards[0] });
        const { addresses } = await driver.call<CniJoined>({ call: "join", card: cards[1] });
        assert.ok(await can(cards[0], `busybox ping -c 1 -W 5 ${addressIn(addresses, 4)}`));
        for (const card of cards) await driver.call({ call: "leave", card });
        await driver.end();
        assert.equal(await world.found(), before);
      });

    for (const [by, isThere, expected] of [
      ["rules", true, /fwd to "eth0"[\s\S]*fwd to "kt/],
      ["filters of tc where there is no nft", false, /Redirect to device kt[\s\S]*Redirect to device eth0/],
    ] as const)
      it(`have their tap and their plugins' link as one cable, by ${by}`, async () => {
        const looks = "nft list ruleset; tc filter show dev eth0 ingress; tc filter show dev";
        if (!isThere) world.host.ok("mount --bind /dev/null $(command -v nft)");
        const driver = world.driver();
        const card = cniCard("usual2");
        await driver.call({ call: "join", card });
        const argv = ["sh", "-c", "test -c /proc/self/fd/9 && echo tap && cat"];
        const around = await driver.call<string[]>({ call: "around", card, argv });
        const vmm = await world.world.vmm(around, /^tap$/m);
        const found = await world.inside(card, `${looks} kt${card.vmId.slice(0, 10)}0 ingress`);
        assert.match(found.stdout, expected);
        vmm.stdin?.end();
        await driver.call({ call: "leave", card });
        const policy = { call: "join", card: { ...card, egress: { kind: "none" } } } as const;
        if (isThere) await driver.call(policy);
        else await assert.rejects(driver.call(policy), /egress-not-ready: .*nftables is not installed/);
        await driver.call({ call: "leave", card });
        await driver.end();
        if (!isThere) world.host.ok("umount $(readlink -f /usr/sbin/nft)");
      });

    it("take ports to publish, and give them back", {
      skip: isUser && "its namespace is the host's",
    }, async () => {
      const driver = world.driver();
      const card = cniCard("usual2");
      const { addresses } = await driver.call<CniJoined>({ call: "join", card });
      const attachment: CniAttachment = {
        ...{ containerId: "ports", ifName: "eth9", mac: "", ips: [] },
        netns: `/proc/${world.host.pid}/ns/net`,
        capabilities: { portMappings: [{ hostPort: 8088, containerPort: 80, protocol: "tcp" }] },
      };
      const result = { cniVersion: "1.0.0", ips: addresses.map((address) => ({ address })) };
      world.conflist("ports", "1.0.0", [
        { type: "echo" },
        { type: "portmap", capabilities: { portMappings: true }, snat: true },
      ]);
      world.plugin("echo", `test "$CNI_COMMAND" = ADD && echo '${JSON.stringify(result)}'; exit 0`);
      const added = await driver.call<JsonObject>({ call: "add", network: "ports", attachment });
      assert.match(await world.found(), /--dport 8088/);
      // Its CHECK of 1.1.1 looks for rules of IPv6 whatever the addresses are.
      await driver.call({ call: "del", network: "ports", attachment, result: added });
      assert.doesNotMatch(await world.found(), /8088/);
      await driver.call({ call: "leave", card });
      await driver.end();
    });

    it("say what CHECK finds wrong, in the plugin's own words", async () => {
      const driver = world.driver();
      const card = cniCard("usual2");
      await driver.call({ call: "join", card });
      await driver.call({ call: "check", card });
      assert.ok(await can(card, "ip -4 route del default"));
      const words = /cni-failed: CNI network usual2: plugin bridge failed to CHECK: .*0\.0\.0\.0/;
      await assert.rejects(driver.call({ call: "check", card }), words);
      // A plugin that is wrong costs a VM that runs nothing.
      const adopted = await driver.call<CniJoined>({ call: "adopt", card });
      assert.equal((await driver.call<CniJoined>({ call: "recall", card })).mac, adopted.mac);
      await driver.call({ call: "leave", card });
      await driver.end();
    });
  });
