// What guests on CNI networks say and reach: nothing of what is not their own, and nobody beyond their policy, by whatever frames.
// On a host of the test's own (cni-world), through the tap that a VMM would have.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import { parseEgress } from "../../src/base/egress.js";
import { linkLocal } from "../../src/net/plan-claims.js";
import type { CardCounters, CniCard, CniJoined } from "../../src/net/types.js";
import { eventually } from "../fixtures/bridge-guests.js";
import { type Driver, OUTSIDE } from "../fixtures/bridge-world.js";
import type { CniAsk } from "../fixtures/cni-driver.js";
import { addressIn, CniWorld, cniCard, ptpPlugins, usualPlugins } from "../fixtures/cni-world.js";
import { DhcpGuest } from "../fixtures/dhcp-guest.js";
import {
  arp,
  dhcpRequest,
  ethernet,
  icmp6,
  ip4,
  ip6,
  neighbourAdvertisement,
  neighbourSolicitation,
  routerAdvertisement,
  tcp,
  udp4,
} from "../fixtures/frames.js";

const isRoot = process.getuid?.() === 0;
const WRITER = "/mnt/kiln/dist/test/fixtures/frame-writer.js";
/** Where that has its tap. */
const TAP_AT = 7;
const METADATA = "169.254.169.254";

interface Plugged {
  readonly card: CniCard;
  readonly guest: DhcpGuest;
  readonly ip4: string;
  readonly ip6: string;
}

for (const isUser of [false, true])
  describe(`the frames of guests on CNI networks of ${isUser ? "an ordinary user" : "root"}`, {
    skip: !isRoot && "it takes root to make hosts for tests",
  }, () => {
    let world: CniWorld;
    let driver: Driver<CniAsk>;
    let victim: CniCard;
    let victims: readonly [ip4: string, ip6: string];
    const guests: DhcpGuest[] = [];
    before(async () => {
      world = await CniWorld.open(isUser);
      world.conflist("usual", "1.0.0", usualPlugins(2));
      world.conflist("ptp", "1.0.0", ptpPlugins(3));
      world.conflist("bare", "1.0.0", [{ type: "bridge", bridge: "cni2", ipam: {} }]);
      driver = world.driver();
      victim = cniCard("usual");
      const { addresses } = await driver.call<CniJoined>({ call: "join", card: victim });
      victims = [addressIn(addresses, 4), addressIn(addresses, 6)];
      // The bridge has come with it, and asks whether somebody has its address.
      await eventually(
        "the router is there",
        async () => (await world.inside(victim, "busybox ping -c 1 -W 1 fd30:a2::1")).status === 0,
      );
      world.world.outside.ok(
        "ip route add 10.30.0.0/16 via 10.99.0.2; ip -6 route add fd30::/16 via fd99::2",
      );
    });
    after(async () => {
      for (const guest of guests) await guest[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    });

    const counters = (card: CniCard) => driver.call<CardCounters>({ call: "counters", card });

    /** A guest with what the plugins gave. */
    async function plugIn(policy: string, network = "usual"): Promise<Plugged> {
      const card = cniCard(network, { egress: parseEgress(policy) });
      const { mac, addresses, gateway4, gateway6 } = await driver.call<CniJoined>({ call: "join", card });
      const guest = await DhcpGuest.make(mac);
      guests.push(guest);
      await guest.plugIn(
        async (argv) => world.world.as(await driver.call<string[]>({ call: "around", card, argv })),
        (argv, begun) => world.world.start(argv, begun),
      );
      for (const address of addresses) guest.net.ok(`ip address add ${address} dev eth0 nodad`);
      guest.net.ok(`ip route add default via ${gateway4} dev eth0 onlink`);
      guest.net.ok(`ip -6 route add default via ${gateway6} dev eth0 onlink`);
      return { card, guest, ip4: addressIn(addresses, 4), ip6: addressIn(addresses, 6) };
    }
    const pings = ({ guest }: Plugged, address: string, size = 56) =>
      guest.net.sh(`busybox ping -c 1 -W 2 -s ${size} ${address}`).status === 0;
    const hears = ({ guest }: Plugged, address: string, port: number) =>
      guest.net.sh(`busybox nc -w 3 ${address} ${port} </dev/null`).stdout.trim();
    const leave = ({ card }: Plugged) => driver.call({ call: "leave", card });

    /** Writes frames into a tap of its own, as a VMM would. @returns what was counted of them */
    async function writes(
      frames: (own: { mac: string; ip4: string; ip6: string }) => readonly string[],
      policy = "all",
      network = "usual",
    ): Promise<CardCounters> {
      const card = cniCard(network, { egress: parseEgress(policy) });
      const { mac, addresses } = await driver.call<CniJoined>({ call: "join", card });
      const [own4 = "", own6 = ""] = addresses.map((address) => address.split("/")[0]);
      const bare = policy === "all" ? [] : ["--bare"];
      const argv = [process.execPath, WRITER, ...bare, ...frames({ mac, ip4: own4, ip6: own6 })];
      const around = await driver.call<string[]>({ call: "around", card, argv, fd: TAP_AT });
      const [program = "", ...args] = world.world.asKilnd(around);
      const running: ChildProcess = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
      world.world.ends(running);
      const [said] = await once(running.stdout ?? assert.fail(), "data");
      assert.match(String(said), /^wrote( \d+)+\n/);
      const counted = await counters(card);
      const ended = once(running, "exit");
      running.kill("SIGKILL");
      await ended;
      await driver.call({ call: "leave", card });
      return counted;
    }

    it("reach neighbours, the world outside and nothing that is closed to all", async () => {
      const guest = await plugIn("all");
      for (const address of [...victims, "10.30.2.1", "fd30:a2::1"])
        assert.ok(pings(guest, address) && pings(guest, address, 4000), address);
      // pasta takes no pieces.
      const size = isUser ? 1400 : 4000;
      for (const address of [OUTSIDE.ip4, OUTSIDE.ip6]) assert.ok(pings(guest, address, size), address);
      assert.equal(hears(guest, OUTSIDE.ip4, 80), "hello");
      assert.deepEqual(await counters(guest.card), { denied: 0, forged: 0 });
      for (const address of [METADATA, "100.100.100.200"]) assert.equal(hears(guest, address, 80), "");
      assert.ok((await counters(guest.card)).denied >= 2);
      await leave(guest);
    });

    it("reach nobody but neighbours where nothing is open, and their router by echo alone", async () => {
      const guest = await plugIn("none");
      world.world.serve(world.host, 8080);
      for (const address of [...victims, "10.30.2.1", "fd30:a2::1"])
        assert.ok(pings(guest, address), address);
      for (const address of [OUTSIDE.ip4, OUTSIDE.ip6, "10.99.0.2"])
        assert.ok(!pings(guest, address), address);
      for (const address of [OUTSIDE.ip4, OUTSIDE.ip6, METADATA]) assert.equal(hears(guest, address, 80), "");
      assert.equal(hears(guest, "10.30.2.1", 8080), "");
      assert.doesNotMatch(
        guest.guest.net.sh(`busybox nslookup ${OUTSIDE.name} ${OUTSIDE.ip4}`).stdout,
        /10\.99/,
      );
      await leave(guest);
    });

    it("reach what a list opens, by address, port and protocol", async () => {
      // pasta's, which asks that one.
      const resolver = isUser ? "192.0.0.3" : OUTSIDE.ip4;
      const guest = await plugIn(`dns,${OUTSIDE.ip4}:80/tcp,[${OUTSIDE.ip6}]:81`);
      assert.deepEqual(
        [80, 81].flatMap((port) => [OUTSIDE.ip4, OUTSIDE.ip6].map((address) => hears(guest, address, port))),
        ["hello", "", "", "hello"],
      );
      assert.match(guest.guest.net.sh(`busybox nslookup ${OUTSIDE.name} ${resolver}`).stdout, /10\.99\.0\.1/);
      assert.ok((await counters(guest.card)).denied >= 2);
      await leave(guest);
      const routed = await plugIn("none", "ptp");
      assert.ok(pings(routed, "10.30.3.1"));
      assert.ok(!pings(routed, victims[0]), "who is behind a router is no neighbour");
      await leave(routed);
    });

    const noWayIn = isUser && "there is no way in from outside";
    it("answer those that begin with them, whom no policy opens, and begin nothing there", {
      skip: noWayIn,
    }, async () => {
      const guest = await plugIn("none");
      const server = await guest.guest.net.start(
        `exec ${process.execPath} -e 'const udp = require("dgram").createSocket("udp6");
      udp.on("message", (m, from) => udp.send(m, from.port, from.address));
      require("net").createServer({ allowHalfOpen: true }, (s) => s.pipe(s)).listen(90, () => udp.bind(91, () => console.log("serving")))'`,
        /serving/,
      );
      const { outside } = world.world;
      for (const address of [guest.ip4, guest.ip6]) {
        assert.equal(outside.sh(`echo back | busybox nc -w 3 ${address} 90`).stdout, "back\n", address);
        const asks = `const udp = require("dgram").createSocket("udp${address.includes(":") ? 6 : 4}");
        udp.on("message", (m) => { console.log(String(m)); process.exit(); }); udp.send("back", 91, "${address}");`;
        assert.equal(
          outside.sh(`busybox timeout 5 ${process.execPath} -e '${asks}'`).stdout,
          "back\n",
          address,
        );
        assert.equal(outside.sh(`busybox ping -c 1 -W 2 ${address}`).status, 0, address);
      }
      assert.equal(hears(guest, OUTSIDE.ip4, 80), "");
      server.kill("SIGKILL");
      await leave(guest);
    });

    it("are the guest's own, or they are counted and go nowhere", async () => {
      const [other4, other6] = victims;
      const { stdout } = await world.inside(victim, "cat /sys/class/net/eth0/address");
      const other = stdout.trim();
      const gateway = "10.30.2.1";
      const all = "ff02::1";
      let told = 0;
      const { forged } = await writes(({ mac, ip4: own4, ip6: own6 }) => {
        const ends = { from: mac };
        const lies = [
          arp({ from: other }, 1, { mac: other, ip: own4 }, gateway),
          arp(ends, 2, { mac, ip: gateway }, other4),
          arp(ends, 1, { mac: other, ip: own4 }, gateway),
          arp(ends, 1, { mac, ip: "0.0.0.0" }, other4),
          icmp6(ends, "::", all, neighbourSolicitation(other6)),
          icmp6(ends, "::", all, neighbourSolicitation(linkLocal(other))),
          icmp6(ends, linkLocal(other), all, neighbourSolicitation(other6)),
          udp4(ends, other4, gateway, [9, 53]),
          udp4(ends, gateway, "255.255.255.255", [67, 68]),
          udp4(ends, own4, "255.255.255.255", [67, 68]),
          udp4(ends, "0.0.0.0", "10.30.2.255", [9, 9]),
          udp4(ends, "0.0.0.0", "255.255.255.255", [68, 67], dhcpRequest(other)),
          udp4(ends, own4, gateway, [68, 67], dhcpRequest(other)),
          ip4(ends, [own4, other4], 1, Buffer.from([5, 1, 0, 0, 10, 30, 2, 9])),
          icmp6(ends, "fe80::9", all, routerAdvertisement()),
          icmp6(ends, own6, all, routerAdvertisement()),
          icmp6(ends, own6, all, routerAdvertisement(), "options"),
          icmp6(ends, own6, all, routerAdvertisement(), "fragment"),
          icmp6(ends, own6, all, neighbourAdvertisement("fd30:a2::1", mac)),
          icmp6(ends, "fe80::9", all, neighbourAdvertisement(other6, mac)),
          icmp6(ends, "fe80::9", OUTSIDE.ip6, neighbourAdvertisement("fe80::9", mac)),
          icmp6(ends, other6, OUTSIDE.ip6, neighbourAdvertisement(own6, mac)),
          icmp6(ends, other6, all, Buffer.from([128, 0, 0, 0, 0, 1, 0, 1])),
          ethernet(ends, 0x8100, Buffer.alloc(60)),
          ethernet(ends, 0x88a8, Buffer.alloc(60)),
          ethernet(ends, 0x88cc, Buffer.alloc(60)),
          ethernet({ from: mac, to: "01:80:c2:00:00:00" }, 0x0027, Buffer.alloc(60)),
          ethernet(ends, 0x0800, Buffer.from([0x45])),
          ethernet(ends, 0x86dd, Buffer.alloc(1400, 0xff)),
        ];
        told = lies.length;
        return lies;
      });
      assert.equal(forged, told);
      const { stdout: neighbours } = await world.inside(victim, "ip neighbour show; ip -6 route show");
      assert.doesNotMatch(neighbours, /proto ra/);
      assert.equal((await world.inside(victim, `busybox ping -c 1 -W 2 ${gateway}`)).status, 0);
    });

    it("hold a policy that nothing is open to, whatever they are", async () => {
      let told = 0;
      const counted = await writes(({ mac, ip4: own4, ip6: own6 }) => {
        const ends = { from: mac };
        const four = [own4, OUTSIDE.ip4] as const;
        const six = [own6, OUTSIDE.ip6] as const;
        // The end of a datagram whose ports came before; the beginning of one, too short for its ports.
        const [rest, beginning] = [{ fragment: 3 }, { fragment: 0x2000 }];
        const header = Buffer.from([6, 0, 0, 24, 0, 0, 0, 7]);
        const routing = Buffer.from([17, 2, 0, 1, 0, 0, 0, 0, ...Buffer.alloc(16, 0xfe)]);
        const frames = [
          ...(["S", "A", "SA", "R"] as const).flatMap((flags) => [
            ip4(ends, four, 6, tcp([90, 80], flags)),
            ip6(ends, six, 6, tcp([90, 80], flags)),
          ]),
          udp4(ends, own4, OUTSIDE.ip4, [90, 53]),
          ip4(ends, four, 6, tcp([90, 443], "S"), rest),
          ip4(ends, four, 6, Buffer.from([0, 90]), beginning),
          ip4(ends, four, 17, Buffer.from([0, 90]), beginning),
          ip4(ends, four, 1, Buffer.from([0, 0, 0, 0, 0, 1, 0, 1])),
          ip4(ends, four, 132, Buffer.alloc(12)),
          ip4(ends, four, 4, Buffer.alloc(40)),
          ip4(ends, [own4, victims[0]], 17, Buffer.alloc(8), {
            options: Buffer.from([131, 7, 4, 10, 99, 0, 1, 0]),
          }),
          ip6(ends, six, 44, Buffer.concat([header, tcp([90, 443], "S")])),
          ip6(ends, six, 43, Buffer.concat([routing, Buffer.alloc(8)])),
          ip6(ends, [own6, victims[1]], 43, Buffer.concat([routing, Buffer.alloc(8)])),
          ip6(ends, six, 59, Buffer.alloc(8)),
          ip6(ends, six, 135, Buffer.alloc(8)),
          ip6(ends, [own6, "ff0e::1"], 17, Buffer.alloc(8)),
          // What goes to all goes to the host.
          ...["224.0.0.1", "255.255.255.255", "10.30.2.255", "10.30.2.0"].map((to) =>
            udp4(ends, own4, to, [90, 53]),
          ),
          ...["ff02::1", "fd30:a2::"].map((to) => ip6(ends, [own6, to], 17, Buffer.alloc(8))),
          icmp6(ends, own6, OUTSIDE.ip6, Buffer.from([129, 0, 0, 0, 0, 1, 0, 1])),
          udp4(ends, own4, METADATA, [90, 80]),
          udp4(ends, own4, "127.0.0.1", [90, 80]),
        ];
        told = frames.length;
        return frames;
      }, `${OUTSIDE.ip4}:443/tcp,[${OUTSIDE.ip6}]:443`);
      assert.deepEqual(counted, { denied: told, forged: 0 });
    });

    it("pass in pieces where an address is open as a whole, whatever their bytes are", async () => {
      const counted = await writes(({ mac, ip4: own4, ip6: own6 }) => {
        const rest = Buffer.concat([Buffer.from([0, 67, 0, 67]), Buffer.alloc(20)]);
        const header = Buffer.from([17, 0, 0, 24, 0, 0, 0, 7]);
        const advert = Buffer.concat([Buffer.from([58, 0, 0, 24, 0, 0, 0, 7]), routerAdvertisement()]);
        return [
          ip4({ from: mac }, [own4, OUTSIDE.ip4], 17, rest, { fragment: 3 }),
          ip4({ from: mac }, [own4, victims[0]], 17, rest, { fragment: 3 }),
          ip6({ from: mac }, [own6, OUTSIDE.ip6], 44, Buffer.concat([header, rest])),
          ip6({ from: mac }, [own6, OUTSIDE.ip6], 44, advert),
        ];
      }, `${OUTSIDE.ip4},${OUTSIDE.ip6}`);
      assert.deepEqual(counted, { denied: 0, forged: 0 });
    });

    it("are any address's where the plugins give none, by the card's MAC address", async () => {
      const counted = await writes(
        ({ mac }) => [
          udp4({ from: mac }, "10.30.2.200", victims[0], [9, 9]),
          arp({ from: mac }, 1, { mac, ip: "10.30.2.200" }, victims[0]),
          udp4({ from: mac }, "10.30.2.200", METADATA, [9, 80]),
          udp4({ from: "02:00:00:00:00:99" }, "10.30.2.200", victims[0], [9, 9]),
          udp4({ from: mac }, "10.30.2.200", "255.255.255.255", [67, 68]),
        ],
        "all",
        "bare",
      );
      assert.deepEqual(counted, { denied: 1, forged: 2 });
    });
  });
