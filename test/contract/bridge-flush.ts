// Rules that others flush and bridges that others delete, while kilnd runs: found, and made again.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { parseEgress } from "../../src/base/egress.js";
import { bridgeName, cardName, type NetworkSpec } from "../../src/base/networks.js";
import type { PortMapping } from "../../src/base/ports.js";
import { eventually, type Guest, hears, pings, plugIn, resolves } from "../fixtures/bridge-guests.js";
import { BridgeWorld, type Driver, OUTSIDE } from "../fixtures/bridge-world.js";
import { networkCard, networkSpec } from "../fixtures/network-specs.js";

const PORT: PortMapping = { hostIp: "0.0.0.0", hostPort: 8080, vmPort: 80, protocol: "tcp" };

export function bridgeFlushContract(isUser: boolean): void {
  describe("what others take away", () => {
    const spec = networkSpec(1);
    const apart = networkSpec(2, { isolated: true });
    let world: BridgeWorld;
    let driver: Driver;
    let web: Guest;
    let closed: Guest;
    let cells: Guest[];
    before(async () => {
      world = await BridgeWorld.open(isUser);
      driver = world.driver();
      for (const one of [spec, apart]) await driver.call({ call: "up", spec: one });
      web = await plugIn(world, driver, spec, networkCard(spec, "web", 5));
      const egress = parseEgress(`${OUTSIDE.ip4}:80/tcp`);
      closed = await plugIn(world, driver, spec, networkCard(spec, "closed", 6, { egress }));
      cells = [
        await plugIn(world, driver, apart, networkCard(apart, "left", 7)),
        await plugIn(world, driver, apart, networkCard(apart, "right", 8)),
      ];
      world.serve(web.net, 80);
      if (!isUser) await driver.call({ call: "publish", spec, card: web.card, port: PORT });
      await eventually("web serves", () => hears(closed, web.card.ip4 ?? "", 80) === "hello");
    });
    after(() => world[Symbol.asyncDispose]());

    /** @param networks that have to be told of @returns what was told */
    async function mended(networks: readonly NetworkSpec[]): Promise<string[]> {
      const told: string[] = [];
      await eventually("it is mended", async () => {
        told.push(...(await driver.call<string[]>({ call: "mended" })));
        return networks.every(({ name }) => told.some((line) => line.startsWith(`${name}: `)));
      });
      return told;
    }

    /** That what may pass does, and nothing else: each lie once. */
    function assertWhole(): void {
      assert.ok(pings(web, OUTSIDE.ip4) && pings(web, OUTSIDE.ip6), "the way out");
      assert.ok(pings(web, closed.card.ip4) && pings(web, closed.card.ip6), "a peer");
      assert.match(resolves(web, "closed", spec.gateway4), /10\.89\.1\.6/);
      assert.equal(hears(closed, OUTSIDE.ip4, 80), "hello");
      assert.equal(hears(closed, OUTSIDE.ip4, 81), "", "a policy");
      assert.equal(hears(web, "169.254.169.254", 80), "", "metadata");
      assert.ok(!pings(web, cells[0]?.card.ip4), "another network");
      const [left, right] = cells;
      assert.ok(left !== undefined && right !== undefined && !pings(left, right.card.ip4), "peers apart");
      web.net.ok("ip address add 10.89.1.77/24 dev eth0");
      assert.equal(web.net.sh(`busybox ping -c 1 -W 1 -I 10.89.1.77 ${closed.card.ip4}`).status, 1, "a lie");
      web.net.ok("ip address del 10.89.1.77/24 dev eth0");
      if (!isUser) assert.equal(outside(), "hello", "a published port");
    }

    const outside = () => world.outside.sh("busybox nc -w 2 10.99.0.2 8080 </dev/null").stdout.trim();

    it("is nothing as long as nobody does", async () => {
      assertWhole();
      assert.deepEqual(await driver.call<string[]>({ call: "mended" }), []);
    });

    it("all rules: they are there again, and once more", async () => {
      for (const _ of [1, 2]) {
        await world.inPlace("nft flush ruleset");
        const told = await mended([spec, apart]);
        assert.deepEqual(told.toSorted(), [
          "net1: the rules of web, closed",
          "net2: the rules of left, right",
        ]);
        assertWhole();
      }
    });

    for (const family of ["inet", "netdev"]) {
      it(`the rules of the family ${family} alone`, async () => {
        await world.inPlace(`nft flush ruleset ${family}`);
        await mended([spec, apart]);
        assertWhole();
      });
    }

    it("one card's table", async () => {
      await world.inPlace(`nft delete table netdev kiln_${cardName(web.card.vmId, 0)}`);
      assert.deepEqual(await mended([spec]), ["net1: the rules of web"]);
      assertWhole();
    });

    it("a bridge: it is there again, with those that were on it", async () => {
      for (const one of [spec, apart]) await world.inPlace(`ip link delete ${bridgeName(one.id)}`);
      assert.deepEqual((await mended([spec, apart])).toSorted(), ["net1: its bridge", "net2: its bridge"]);
      assertWhole();
    });

    it("all rules and a bridge", async () => {
      await world.inPlace(`nft flush ruleset; ip link delete ${bridgeName(spec.id)}`);
      // At one look or at two.
      const told = (await mended([spec, apart])).join("; ");
      assert.match(told, /net1: .*the rules of web, closed/);
      assertWhole();
    });

    it("all rules while one joins, and while one leaves", async () => {
      const late = networkCard(spec, "late", 9);
      await driver.call({ call: "join", spec, card: late });
      await world.inPlace("nft flush ruleset");
      const guest = await plugIn(world, driver, spec, late);
      await mended([spec, apart]);
      assertWhole();
      assert.ok(pings(guest, OUTSIDE.ip4) && pings(guest, web.card.ip4));
      await world.inPlace("nft flush ruleset");
      await guest.net[Symbol.asyncDispose]();
      await driver.call({ call: "leave", spec, card: late });
      await mended([spec, apart]);
      assertWhole();
      assert.doesNotMatch(await world.inPlace("nft list ruleset"), new RegExp(late.vmId.slice(0, 12)));
    });

    // A user's place has mounts of its own, and nobody else in it.
    if (isUser) return;
    for (const key of ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"]) {
      it(`that the host passes packets on: ${key}`, async () => {
        world.host.ok(`echo 0 > /proc/sys/${key.replaceAll(".", "/")}`);
        const told = await mended([spec]);
        assert.ok(told.includes("net1: the host's forwarding"), told.join());
        assertWhole();
      });
    }

    it("nobody passes a network whose rules can't be loaded, until they can", async () => {
      world.host.ok(`cp /usr/sbin/nft /mnt/nft
        printf '#!/bin/sh\\ntest "$1" = -f && exit 1\\nexec /mnt/nft "$@"\\n' >/mnt/no-load
        chmod 755 /mnt/no-load && mount --bind /mnt/no-load /usr/sbin/nft`);
      world.host.ok("nft flush ruleset");
      const isDown = () => !/\bUP\b/.test(world.host.ok(`ip link show ${bridgeName(spec.id)}`));
      await eventually("the bridge is down", isDown);
      assert.ok(!pings(web, closed.card.ip4) && !pings(web, OUTSIDE.ip4) && !pings(web, spec.gateway4));
      world.host.ok("umount -l /usr/sbin/nft");
      await mended([spec, apart]);
      assertWhole();
    });
  });
}
