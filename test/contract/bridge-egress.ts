// What a policy lets a VM reach outside of its networks.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import { parseEgress } from "../../src/base/egress.js";
import { tapName } from "../../src/base/networks.js";
import type { CardCounters } from "../../src/net/types.js";
import { eventually, type Guest, hears, pings, plugIn, resolves } from "../fixtures/bridge-guests.js";
import { BridgeWorld, type Driver, OUTSIDE } from "../fixtures/bridge-world.js";
import { networkCard, networkSpec } from "../fixtures/network-specs.js";

/** linux/if_tun.h */
const IFF_VNET_HDR = 0x4000;

export function bridgeEgressContract(isUser: boolean): void {
  describe("egress", () => {
    const spec = networkSpec(1);
    let world: BridgeWorld;
    let driver: Driver;
    let peer: Guest;
    let at = 10;
    before(async () => {
      world = await BridgeWorld.open(isUser);
      driver = world.driver();
      await driver.call({ call: "up", spec });
      peer = await plugIn(world, driver, spec, networkCard(spec, "peer", 5));
    });
    after(() => world[Symbol.asyncDispose]());

    const guestWith = (egress: string) =>
      plugIn(world, driver, spec, networkCard(spec, `vm${at}`, at++, { egress: parseEgress(egress) }));

    it("none: its own network and its names, and nothing else", async () => {
      const guest = await guestWith("none");
      assert.ok(pings(guest, peer.card.ip4) && pings(guest, peer.card.ip6));
      await eventually("names", () => resolves(guest, "peer", spec.gateway4).includes(peer.card.ip4 ?? "?"));
      assert.match(resolves(guest, "peer", spec.gateway6), /10\.89\.1\.5/);
      assert.equal(resolves(guest, OUTSIDE.name, spec.gateway4), "");
      assert.equal(resolves(guest, OUTSIDE.name, OUTSIDE.ip4), "");
      assert.ok(!pings(guest, OUTSIDE.ip4) && !pings(guest, OUTSIDE.ip6));
      const counters = new Map(await driver.call<[string, CardCounters][]>({ call: "counters", spec }));
      assert.ok((counters.get(guest.card.vmId)?.denied ?? 0) >= 2);
      assert.match(resolves(peer, OUTSIDE.name, spec.gateway4), /10\.99/, "another's policy is another's");
    });

    it("a list: its ranges, ports and protocols", async () => {
      const guest = await guestWith(`${OUTSIDE.ip4}:80/tcp,[${OUTSIDE.ip6}]:81,10.77.0.0/16`);
      assert.equal(hears(guest, OUTSIDE.ip4, 80), "hello");
      assert.equal(hears(guest, OUTSIDE.ip4, 81), "");
      assert.equal(hears(guest, OUTSIDE.ip6, 81), "hello");
      assert.equal(hears(guest, OUTSIDE.ip6, 80), "");
      assert.ok(!pings(guest, OUTSIDE.ip4));
      assert.equal(resolves(guest, OUTSIDE.name, spec.gateway4), "");
    });

    it("dns in a list: names of outside too", async () => {
      const guest = await guestWith("dns");
      assert.match(resolves(guest, OUTSIDE.name, spec.gateway4), /10\.99/);
      assert.equal(hears(guest, OUTSIDE.ip4, 80), "");
    });

    it("never opens what no policy opens", async () => {
      const guest = await guestWith("0.0.0.0/0,::/0");
      assert.equal(hears(guest, OUTSIDE.ip4, 80), "hello");
      assert.equal(hears(guest, "169.254.169.254", 80), "");
    });

    it("is of who has an address now, not of what one before has begun with it", async () => {
      const echo = `const s = require("dgram").createSocket("udp4"); s.on("message", (m, from) => s.send(m, from.port, from.address)); s.bind(5002, () => console.log("up"))`;
      world.ends(await world.outside.start(`exec ${process.execPath} -e '${echo}'`, /up/));
      const card = networkCard(spec, "before", 200);
      const asks = `const s = require("dgram").createSocket("udp4"); s.on("message", () => { console.log("echo"); process.exit(); });
        s.bind(5003, () => { for (const at of [1, 2, 3]) setTimeout(() => s.send("?", 5002, "${OUTSIDE.ip4}"), at * 100); setTimeout(() => process.exit(), 1000); })`;
      const hears = ({ net }: Guest) => net.ok(`${process.execPath} -e '${asks}'`).trim();
      const before = await plugIn(world, driver, spec, card);
      assert.equal(hears(before), "echo");
      await driver.call({ call: "leave", spec, card });
      await before.net[Symbol.asyncDispose]();
      const none = parseEgress("none");
      const next = networkCard(spec, "next", 200, { egress: none });
      assert.equal(hears(await plugIn(world, driver, spec, next)), "");
    });

    it("by ports has taps without a header, by which the kernel would write over a port that has passed", async () => {
      for (const [egress, hasHeader] of [
        ["all", true],
        ["dns,10.0.0.0/8", true],
        ["10.0.0.0/8:80", false],
      ] as const) {
        const card = networkCard(spec, `tap${at}`, at++, { egress: parseEgress(egress) });
        await driver.call({ call: "join", spec, card });
        const argv = ["sh", "-c", "echo made; read -r end"];
        const around = await driver.call<string[]>({ call: "around", card, argv, fd: 7 });
        const [program = "", ...args] = world.asKilnd(around);
        const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
        world.ends(child);
        await once(child.stdout ?? assert.fail(), "data");
        const file = `/tmp/sys/class/net/${tapName(card.vmId, 0)}/tun_flags`;
        const place = await world.placePid();
        const look = `unshare --mount sh -c 'mount -t tmpfs none /tmp; mkdir /tmp/sys; mount -t sysfs none /tmp/sys; cat ${file}'`;
        const flags = Number(world.host.ok(`nsenter --target ${place} --net -- ${look}`));
        assert.equal((flags & IFF_VNET_HDR) !== 0, hasHeader, egress);
        const ended = once(child, "exit");
        child.stdin?.end();
        await ended;
        await driver.call({ call: "leave", spec, card });
      }
    });

    it("holds for fragments, which have no ports", async () => {
      const guest = await guestWith(`${OUTSIDE.ip4}:5000/udp`);
      const server = `const s = require("dgram").createSocket("udp4"); s.on("message", (m, from) => console.log(s.address().port, m.length)); s.bind(+process.argv[1], () => console.log("up"))`;
      const said = { 5000: "", 5001: "" };
      for (const port of [5000, 5001] as const) {
        const child = await world.outside.start(`exec ${process.execPath} -e '${server}' ${port}`, /up/);
        world.ends(child);
        child.stdout?.on("data", (text) => (said[port] += text));
      }
      const client = `const s = require("dgram").createSocket("udp4"); for (const p of [5001, 5000]) s.send(Buffer.alloc(4000), p, "${OUTSIDE.ip4}", () => p === 5000 && setTimeout(() => s.close(), 100))`;
      guest.net.ok(`${process.execPath} -e '${client}'`);
      await eventually("the datagram", () => said[5000].includes("5000 4000"));
      assert.equal(said[5001], "");
    });
  });
}
